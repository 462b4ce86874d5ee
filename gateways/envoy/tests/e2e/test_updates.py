"""The configuration is replaced while requests are under way."""

import itertools
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway import ACCOUNTS, client, cookie_keys, forge, opened, route, settings, tokens
from stack import Refused, module_route, wait_for
from upstream import reply


@pytest.mark.smoke
def test_requests_in_flight_finish_under_the_configuration_they_began_with(gateway):
    g = gateway()
    release = threading.Event()

    def slow(request):
        release.wait(10)
        return reply(request)

    g.upstream.answer = slow
    with ThreadPoolExecutor(16) as pool:
        flying = [pool.submit(g.send) for _ in range(16)]
        wait_for("every request reaching the upstream", lambda: len(g.upstream.requests) == 16)
        # Every slot means another account now, and one account is gone.
        g.update(settings(tokens=tokens("charlie", "alpha"), cookie_keys=cookie_keys(sign=2, accept=1)))
        release.set()
        answers = [each.result() for each in flying]
    for answer in answers:
        assert answer.status == 200
        # The old configuration's key, and the account that really served it.
        assert opened(answer.cookie)[1] == answer.account
    for answer in answers:
        again = g.send(cookie=answer.cookie)
        assert again.decision["verdict"] == "valid"
        if answer.account == "bravo":
            assert again.decision["pin_state"] == "gone" and again.outcome == "repinned"
        else:
            assert (again.outcome, again.account) == ("pinned", answer.account)


def test_updates_under_load(gateway):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    order = random.Random(seed)
    g = gateway()
    stop = threading.Event()

    def talk(_):
        """A session that never ends; returns how often it was answered."""
        with client() as own:
            account, cookie = "delta", None
            while account == "delta":  # which comes and goes
                cookie = g.send(via=own).cookie
                account = opened(cookie)[1]
            for count in itertools.count():
                if stop.is_set():
                    return count
                answer = g.send(cookie=cookie, via=own)
                seen = f"{answer.status} {answer.decision} of a session on {account}"
                assert answer.status == 200 and answer.outcome == "pinned", seen
                assert answer.account == account, seen
                begun = g.send(via=own)
                assert opened(begun.cookie)[1] == begun.account, f"{begun}"

    def update():
        try:
            for _ in range(20):
                names = [*ACCOUNTS, *order.choice([[], ["delta"]])]
                order.shuffle(names)
                g.update(settings(tokens=tokens(*names), capacity=order.randrange(4, 9)))
        finally:
            stop.set()

    with ThreadPoolExecutor(7) as pool:
        updating = pool.submit(update)
        counts = list(pool.map(talk, range(6)))
        updating.result()
    assert min(counts) > 10, f"too few requests to show anything: {counts}"


@pytest.mark.smoke
def test_a_refused_update_changes_nothing(gateway):
    g = gateway()
    begun = g.begin()
    with pytest.raises(Refused, match=r"tokenpin: configuration refused: tokens"):
        g.update(settings(tokens=[]))
    answer = g.send(cookie=begun.cookie)
    assert (answer.outcome, answer.account) == ("pinned", begun.account)
    g.update(settings(tokens=tokens(alpha={"state": "down"})))
    assert g.send(cookie=forge("alpha")).outcome == "repinned"


def test_the_gauges_are_the_newest_configurations(gateway):
    """This holds while an old one still has requests, and its tokens change."""
    g = gateway(settings(cooldowns=[{"status": [429], "state": "down", "seconds": 1}]))
    release = threading.Event()

    def slow(request):
        release.wait(10)
        return reply(request, 429)

    g.upstream.answer = slow
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(g.send)
        wait_for("the request reaching the upstream", lambda: g.upstream.requests)
        old = g.counters()
        g.update(settings(cookie_keys=cookie_keys(sign=2, accept=1)))
        new = g.counters()
        release.set()
        assert flying.result().status == 429
    assert new["config_fingerprint"] != old["config_fingerprint"]
    deadline = time.monotonic() + 1.5  # the cooldown, and some of the keeper's rounds
    while time.monotonic() < deadline:
        now = g.counters()
        for gauge in ("config_fingerprint", "live_fingerprint"):
            assert now[gauge] == new[gauge]


def test_routes_with_tokens_share_one_thread(gateway):
    def threads(g):
        return len(os.listdir(f"/proc/{g.envoy.process.child.pid}/task"))

    one = gateway()
    own = [route(f"/{number}/", typed_per_filter_config=module_route(settings())) for number in range(100)]
    many = gateway(routes=own)
    assert threads(many) == threads(one)


def test_many_updates_leak_no_descriptor_or_thread(gateway, folder):
    """A watched file belongs to its configuration and is closed with it."""
    path = folder / "states.json"
    path.write_text('{"tokens": {}}')
    g = gateway()
    process = f"/proc/{g.envoy.process.child.pid}"

    def resources():
        return len(os.listdir(f"{process}/fd")), len(os.listdir(f"{process}/task"))

    def cycle(number):
        g.update(settings(state_file=str(path), scope=f"scope-{number}"))

    cycle(0)
    g.send()
    before = resources()
    for number in range(1, 30):
        cycle(number)
    g.send()
    wait_for("what the old configurations held being freed", lambda: resources() <= before)
