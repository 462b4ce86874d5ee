"""A new configuration while requests come and streams run."""

import json
import threading
import time

import pytest
import stack
from gateway import ACCOUNTS, client, encoded, forge, settings, tokens
from provider import JSON, Provider
from upstream import reply


def test_nothing_is_lost_while_configurations_change(gateway):
    """Clients with a connection for each request see no error, and no session leaves its token."""
    g = gateway(settings(sealed_ids="seal"))
    g.upstream.answer = Provider()
    wrong, served, ended = [], [], threading.Event()

    def ask(account):
        begun = forge(account)
        own = None
        while not ended.is_set():
            with client() as each:
                body = {"previous_response_id": own} if own else {}
                headers = [JSON, ("cookie", f"__Host-tokenpin={begun}")]
                answer = each.post(g.url + "/v1/responses", headers=encoded(headers), content=json.dumps(body).encode())
            if (answer.status_code, answer.headers.get("x-account")) != (200, account):
                wrong.append((account, answer.status_code, answer.text[:200]))
            else:
                own = answer.json()["id"]
                served.append(account)

    threads = [threading.Thread(target=ask, args=[account]) for account in ACCOUNTS * 2]
    for thread in threads:
        thread.start()
    for weight in (65536, 100, 65535, 1, 65536):
        g.envoy.update(settings(sealed_ids="seal", tokens=tokens(alpha={"weight": weight})))
        time.sleep(0.1)
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]
    assert len(served) > 50 and set(served) == set(ACCOUNTS)


def test_a_stream_ends_under_the_configuration_it_began_with(gateway):
    g = gateway(settings(sealed_ids="seal"))
    go_on = threading.Event()

    def answer(request):
        yield reply(request, 200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")], b"", False)
        for number in range(2):
            data = b'data: {"response":{"id":"resp_%048x"}}\n\n' % number
            yield b"%x\r\n%s\r\n" % (len(data), data)
            assert go_on.wait(stack.PATIENCE)
        yield b"0\r\n\r\n"

    g.upstream.answer = answer
    with client() as own, own.stream("POST", g.url + "/v1/responses", headers=encoded([JSON]), content=b"{}") as stream:
        lines = stream.iter_lines()
        first = next(lines)
        threading.Timer(0.5, go_on.set).start()
        g.envoy.update(settings(sealed_ids="off", tokens=tokens("delta")))
        second = [line for line in lines if line][0]
    for line in (first, second):
        assert json.loads(line.removeprefix("data: "))["response"]["id"].endswith("tp1"), line


@pytest.mark.parametrize("broken", ["{", '{"tokens": []}', json.dumps(settings(strategy="best"))])
def test_a_bad_configuration_changes_nothing(gateway, broken):
    g = gateway()
    stack.replace_file(g.folder / "tokenpin.json", broken)
    with pytest.raises(stack.Refused, match="tokenpin: configuration refused: "):
        g.envoy.reload()
    assert g.send(cookie=forge("bravo")).account == "bravo"


def test_cooldowns_and_counters_outlive_a_reload(gateway):
    g = gateway(settings(cooldowns=[{"status": [429], "state": "down", "seconds": 1000}]))
    g.upstream.script = [lambda request: reply(request, 429)]
    assert g.send(cookie=forge("alpha")).status == 429
    before = g.counters()
    g.update(settings(response_header="x-other"))
    assert g.counters()["cooldowns"] == before["cooldowns"] == 1
    assert g.send("GET", "/v1/responses/resp_1", cookie=forge("alpha")).status == 503
