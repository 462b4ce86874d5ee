"""The effect of an upstream's status on its token."""

import email.utils
import threading
import time

import pytest
from gateway import forge, settings, tokens
from stack import wait_for
from upstream import RESET, answering, reply

EXISTING = {"method": "GET", "path": "/v1/responses/resp_1"}
DOWN = [
    {"status": [401, 403], "state": "down", "seconds": 300},
    {"status": [429], "state": "draining", "seconds": 30, "retry_after": True},
]


def pin_state(g, account="alpha"):
    return g.send(cookie=forge(account)).decision["pin_state"]


def wait_until_up(g, account="alpha"):
    """Longer than the tests' cooldowns, and not as long as the default one of 30 s."""
    up = ("home", "elsewhere")
    wait_for(f"the end of {account}'s cooldown", lambda: pin_state(g, account) in up)


def in_seconds(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


RETRY_AFTER = {
    "seconds": lambda: "3",
    "date": lambda: in_seconds(4),
}


@pytest.mark.parametrize("form", [pytest.param("seconds", marks=pytest.mark.smoke), "date"])
def test_a_rate_limited_token_drains(gateway, form):
    g = gateway()
    g.upstream.script.append(answering(429, [("retry-after", RETRY_AFTER[form]())]))
    with g.counting() as rose:
        limited = g.send(cookie=forge("alpha"))
    assert limited.status == 429, "the client sees it"
    assert rose["cooldowns"] == 1
    # Its sessions and consumers stay; new anonymous sessions go elsewhere.
    pinned = g.send(**EXISTING, cookie=forge("alpha"))
    assert (pinned.account, pinned.outcome) == ("alpha", "pinned")
    assert pinned.decision["pin_state"] == "draining"
    assert "alpha" not in {g.begin().account for _ in range(40)}, "by chance (2/3)^40"
    wait_until_up(g)


@pytest.mark.smoke
def test_where_all_tokens_drain_newcomers_are_spread_over_them(gateway):
    g = gateway()
    names = ["alpha", "bravo", "charlie"]
    for name in names:
        g.upstream.script.append(answering(429, [("retry-after", "60")]))
        assert g.send(cookie=forge(name)).status == 429
        assert pin_state(g, name) == "draining"
    begun = [g.begin() for _ in range(60)]
    assert {session.account for session in begun} == set(names), "by chance 3 * (2/3)^60"
    later = g.send(**EXISTING, cookie=begun[0].cookie)
    assert (later.account, later.outcome) == (begun[0].account, "pinned")


NEWCOMERS = {
    "anonymous": {"cookie": "junk"},  # so that it may move
    "without a cookie": {},
    "stateless": {"path": "/v1/models"},
}


@pytest.mark.parametrize("retrying", [False, True], ids=["", "retrying"])
@pytest.mark.parametrize("kind", NEWCOMERS)
def test_a_429_each_without_retry_after(gateway, kind, retrying):
    """New sessions avoid the limited tokens until all are limited."""
    g = gateway(settings(**({"retry": {"status": [429]}} if retrying else {})))
    newcomer = {"body": b"", **NEWCOMERS[kind]}

    def accounts():
        answers = [g.send(**newcomer) for _ in range(60)]
        assert {answer.status for answer in answers} == {200}
        return {answer.account for answer in answers}

    for name in ("alpha", "bravo"):
        g.upstream.script.append(answering(429))
        assert g.send(cookie=forge(name)).status == 429
    assert accounts() == {"charlie"}
    g.upstream.script.append(answering(429))
    last = g.send(**newcomer)
    if retrying and kind != "without a cookie":
        assert (last.status, last.outcome) == (200, "retried") and last.account != "charlie"
    else:
        assert (last.status, last.account) == (429, "charlie")
    assert accounts() == {"alpha", "bravo", "charlie"}, "by chance 3 * (2/3)^60"


@pytest.mark.smoke
def test_a_refusal_says_when_to_come_back(gateway):
    down = [{"status": [429], "state": "down", "seconds": 30, "retry_after": True}]
    g = gateway(settings(cooldowns=down))
    wait = {"alpha": 100, "bravo": 20, "charlie": 60}
    for name, seconds in wait.items():
        g.upstream.script.append(answering(429, [("retry-after", str(seconds))]))
        g.send(cookie=forge(name))

    def seconds_of(expected, **options):
        answer = g.send(**options)
        assert answer.status == 503 and answer.account is None
        assert expected - 5 < int(answer.value("retry-after")) <= expected

    seconds_of(20)
    seconds_of(20, path="/v1/models")
    seconds_of(20, consumer="alice")
    seconds_of(20, cookie=forge("alpha"))  # creates: any token would do
    for name, seconds in wait.items():
        seconds_of(seconds, **EXISTING, cookie=forge(name))
    # The time is unknown when an operator puts a token up again.
    g.update(settings(tokens=tokens(**{name: {"state": "down"} for name in wait})))
    answer = g.send()
    assert answer.status == 503 and answer.value("retry-after") is None


@pytest.mark.smoke
def test_a_quota_is_no_rate(gateway):
    """The filter tells a quota from a rate limit by the provider's headers."""
    rules = [
        {
            "status": [429],
            "headers": [{"name": "x-ratelimit-remaining-requests", "exact": "0"}],
            "state": "down",
            "seconds": 600,
        },
        {"status": [429], "state": "draining", "seconds": 30},
    ]
    g = gateway(settings(cooldowns=rules))
    for name, left in {"alpha": "0", "bravo": "10", "charlie": None}.items():
        headers = [] if left is None else [("X-RateLimit-Remaining-Requests", left)]
        g.upstream.script.append(answering(429, headers))
        g.send(cookie=forge(name))
        assert pin_state(g, name) == ("down" if left == "0" else "draining")


CAPPED = {"seconds": 1, "retry_after": True, "max_seconds": 3}
HEEDED = {"seconds": 3, "retry_after": True}

# Rules and Retry-After headers that make a cooldown of 3 s.
DURATIONS = {
    "without Retry-After": ({"seconds": 3}, None),
    "Retry-After not asked for": ({"seconds": 3}, "3600"),
    "capped": (CAPPED, "3600"),
    "a date, capped": (CAPPED, "Fri, 31 Dec 2100 23:59:59 GMT"),
    "huge": (CAPPED, "9" * 40),
    "no number": (HEEDED, "soon"),
    "negative": (HEEDED, "-1"),
    "empty": (HEEDED, ""),
}


@pytest.mark.parametrize("case", DURATIONS)
def test_how_long(gateway, case):
    rule, retry_after = DURATIONS[case]
    g = gateway(settings(cooldowns=[{"status": [429], "state": "draining", **rule}]))
    headers = [] if retry_after is None else [("retry-after", retry_after)]
    g.upstream.script.append(answering(429, headers))
    assert g.send(cookie=forge("alpha")).status == 429
    time.sleep(1.1)
    assert pin_state(g) == "draining"
    wait_until_up(g)


ABOUT_A_SECOND = {
    "no time": [("retry-after", "0")],
    "over already": [("retry-after", "Mon, 02 Jan 2006 15:04:05 GMT")],
    "decimal": [("retry-after", "0.5")],
    "milliseconds": [("retry-after-ms", "300")],
    "both": [("retry-after", "3600"), ("retry-after-ms", "999.9")],
}


@pytest.mark.parametrize("case", ABOUT_A_SECOND)
def test_about_a_second(gateway, case):
    g = gateway()
    g.upstream.script.append(answering(429, ABOUT_A_SECOND[case]))
    began = time.monotonic()
    with g.counting() as rose:
        assert g.send(cookie=forge("alpha")).status == 429
    assert rose["cooldowns"] == 1
    wait_until_up(g)
    assert time.monotonic() - began < 3


@pytest.mark.smoke
def test_no_client_takes_a_token_from_others(gateway):
    """After any answer of the provider, sessions keep their token and new sessions get one."""
    g = gateway()
    sessions = [g.begin(name) for name in ("alpha", "bravo", "charlie")]

    def answer(request):
        bad = request.value("x-bad")
        return reply(request, int(bad) if bad else 200)

    g.upstream.answer = answer
    for status in (400, 401, 403, 404, 409, 422, 429, 500, 501, 502, 503, 504, 529):
        for _ in range(12):
            bad = g.send("GET", "/v1/files/unknown", headers=[("x-bad", str(status))])
            assert bad.status == status
        for session in sessions:
            for method in ("GET", "POST"):
                kept = g.send(method, cookie=session.cookie)
                assert (kept.status, kept.account) == (200, session.account), status
        assert g.send().status == 200, status


@pytest.mark.smoke
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_takes_the_token_down(gateway, status):
    """The operator has to configure it."""
    g = gateway(settings(cooldowns=DOWN))
    begun = g.begin("alpha")
    g.upstream.script.append(answering(status))
    assert g.send(cookie=begun.cookie).status == status
    assert g.send(**EXISTING, cookie=begun.cookie).status == 503
    moved = g.send(cookie=begun.cookie)
    assert moved.outcome == "repinned" and moved.account != "alpha"
    assert pin_state(g, "bravo") in ("home", "elsewhere"), "the others are as they were"


@pytest.mark.smoke
@pytest.mark.parametrize("status", [400, 403, 404, 408, 500, 502, 503, 504])
def test_other_statuses_do_nothing(gateway, status):
    g = gateway()
    g.upstream.script.append(answering(status, [("retry-after", "100")]))
    with g.counting() as rose:
        assert g.send(cookie=forge("alpha")).status == status
    assert "cooldowns" not in rose
    assert pin_state(g) in ("home", "elsewhere")


@pytest.mark.smoke
def test_switched_off(gateway):
    g = gateway(settings(cooldowns=[]))
    for status in (429, 401, 403):
        g.upstream.script.append(answering(status, [("retry-after", "100")]))
        with g.counting() as rose:
            assert g.send(cookie=forge("alpha")).status == status
        assert "cooldowns" not in rose
        assert pin_state(g) in ("home", "elsewhere")


@pytest.mark.parametrize("statuses", [(401, 429), (429, 401)])
def test_a_cooldown_never_makes_a_state_better(gateway, statuses):
    """Two requests are at the upstream before either is answered, so both use the same token."""
    g = gateway(settings(cooldowns=DOWN))
    arrived, answered = threading.Barrier(2), threading.Event()

    def answer(request):
        arrived.wait(10)
        first = request.value("x-first") is not None
        if not first:
            answered.wait(10)
        return reply(request, statuses[0 if first else 1], [("retry-after", "1000")])

    def send(number):
        g.send(cookie=forge("alpha"), headers=[] if number else [("x-first", "1")])
        answered.set()

    g.upstream.answer = answer
    g.parallel(2, send)
    g.upstream.answer = reply
    assert pin_state(g) == "down"


def test_of_two_cooldowns_the_longer_one_lasts(gateway):
    g = gateway()
    for seconds in ("5", "1"):
        g.upstream.script.append(answering(429, [("retry-after", seconds)]))
        assert g.send(cookie=forge("alpha")).status == 429
    time.sleep(2.2)
    assert pin_state(g) == "draining"
    wait_until_up(g)


def test_after_a_cooldown_the_token_is_what_was_configured(gateway):
    rules = [
        {"status": [429], "state": "draining", "seconds": 2},
        {"status": [401], "state": "down", "seconds": 2},
    ]
    drained = tokens(alpha={"state": "draining"})
    g = gateway(settings(cooldowns=rules, tokens=drained))
    for status, during in {429: "draining", 401: "down"}.items():
        g.upstream.script.append(answering(status))
        g.send(cookie=forge("alpha"))
        assert pin_state(g) == during
        wait_for("its end", lambda: pin_state(g) == "draining")


@pytest.mark.smoke
def test_a_new_configuration_forgets_cooldowns(gateway):
    g = gateway(settings(cooldowns=DOWN))
    g.upstream.script.append(answering(401))
    g.send(cookie=forge("alpha"))
    assert pin_state(g) == "down"
    g.update(settings(mint_single=True))
    assert pin_state(g) in ("home", "elsewhere")


@pytest.mark.smoke
def test_stateless_requests_prove_as_much(gateway):
    g = gateway(settings(group="stateless"))
    g.upstream.script.append(answering(401))
    refused = g.send().account
    accounts = {g.send().account for _ in range(40)}
    assert refused not in accounts and len(accounts) == 2


def test_a_response_that_is_cut_off_counts_by_its_status(gateway):
    def cut(request):
        yield b"HTTP/1.1 429 Slow\r\nretry-after: 100\r\ncontent-length: 100\r\n\r\nabc"
        yield RESET

    g = gateway()
    g.upstream.script.append(cut)
    with g.counting() as rose, g.connect() as connection:
        head = f"GET /v1/files HTTP/1.1\r\nhost: g\r\ncookie: __Host-tokenpin={forge('alpha')}\r\n\r\n"
        connection.sendall(head.encode())
        while connection.recv(65536):
            pass
    assert rose["cooldowns"] == 1
