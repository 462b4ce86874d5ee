"""nginx's own: its two workers, its phases, and its ways with headers and bodies."""

import json
import random
import re

import httpx2
import pytest
import stack
import tokenpin_twin as twin
from asking import newcomers
from gateway import (
    ACCOUNTS,
    CONSUMER,
    COOKIE,
    LOGGED_NEVER,
    client,
    forge,
    opened,
    settings,
    tokens,
)
from upstream import answering, reply


def test_more_than_a_hundred_headers(gateway):
    g = gateway()
    many = [(f"x-{number}", "v") for number in range(300)]
    answer = g.send(headers=[*many, ("cookie", f"a=1; {COOKIE}={forge('bravo')}"), *many[:50]])
    assert (answer.account, answer.outcome) == ("bravo", "pinned")
    assert g.upstream.last().values("cookie") == [b"a=1"]
    consumers = [*many, (CONSUMER, "one"), (CONSUMER, "two")]
    assert g.send(headers=consumers).decision["key_reason"] == "several_values"


def test_more_than_a_hundred_cookies_of_an_upstream(gateway):
    """The last ones too: one of our name is no client's, and all others are."""
    g = gateway()
    others = [("set-cookie", f"c{number}=v") for number in range(150)]
    g.upstream.answer = answering(200, [*others, ("set-cookie", f"{COOKIE}={'A' * 67}"), ("set-cookie", "last=1")])
    answer = g.send()
    lines = answer.values("set-cookie")
    assert [line for line in lines if not line.startswith(COOKIE)] == [
        f"{n}={v}" for n, v in [line.split("=") for _, line in others]
    ] + ["last=1"]
    (ours,) = [line for line in lines if line.startswith(COOKIE)]
    assert ours.split(";")[0].partition("=")[2] != "A" * 67 and opened(answer.cookie)[1] == answer.account


def test_repeated_cookie_fields(gateway):
    g = gateway()
    fields = [("cookie", f"a=1; {COOKIE}=x"), ("cookie", f"{COOKIE}={forge('charlie')}"), ("cookie", "b=2;c=3")]
    for http2 in (False, True):
        answer = g.send(headers=fields, http2=http2)
        assert (answer.account, answer.outcome) == ("charlie", "pinned")
        pairs = b"; ".join(g.upstream.last().values("cookie")).replace(b" ", b"").split(b";")
        assert sorted(pairs) == [b"a=1", b"b=2", b"c=3"]


REDIRECTS = """
location /again/ {
    rewrite_by_lua_block { require("resty.tokenpin").request() }
    proxy_intercept_errors on;
    error_page 404 = @again;
    proxy_pass http://provider;
}
location @again {
    rewrite_by_lua_block { require("resty.tokenpin").request() }
    proxy_pass http://provider;
}
location /page/ {
    rewrite_by_lua_block { require("resty.tokenpin").request() }
    proxy_intercept_errors on;
    error_page 404 500 =200 @page;
    proxy_pass http://provider;
}
location @page { content_by_lua_block { ngx.print("a page of nginx's") } }
location /try/ { try_files /nothing @try; }
location @try {
    rewrite_by_lua_block { require("resty.tokenpin").request() }
    proxy_pass http://provider;
}
"""


def test_redirects_within_nginx(gateway):
    """The request keeps its token; its client, the cookie; and nothing of the token's becomes
    the client's key."""
    fields = settings(session=[{"header": "authorization"}], keyed_cookies=True)
    g = gateway(fields, server=REDIRECTS)
    for number in range(10):
        g.upstream.script = [answering(404), answering(200)]
        asked = len(g.upstream.requests)
        mine = [("authorization", f"Bearer mine-{number}")]
        answer = g.send(path="/again/v1/responses", headers=mine, cookie="x")
        first, second = g.upstream.requests[asked:]
        assert first.account == second.account == answer.account and answer.account is not None
        assert answer.decision["source"] == "session" and answer.cookie is not None
        assert second.values("cookie") == []
    # An answer of nginx itself proves nothing of a token.
    for status in (404, 500):
        g.upstream.script = [answering(status)]
        answer = g.send(path="/page/v1/responses")
        assert (answer.status, answer.body, answer.cookie) == (200, b"a page of nginx's", None)
    assert g.send(path="/try/v1/responses", cookie=forge("bravo")).account == "bravo"


def test_a_redirected_request_without_the_variable(gateway):
    """It is forgotten, and decided again: the log says so once."""
    g = gateway(server=REDIRECTS, log_format="$status")
    g.upstream.script = [answering(404), answering(200)]
    assert g.send(path="/again/v1/responses").status == 200
    assert "no log_format has $tokenpin" in g.envoy.log()


@pytest.mark.slow
@pytest.mark.parametrize("phase, decides", [("access", False), ("rewrite", True)])
def test_subrequests_are_none_of_ours(gateway, phase, decides):
    """An authenticator's 401 or 429 cools no token down, whether it is asked before the decision
    or behind it."""
    server = f"""
    location /guarded/ {{
        auth_request /authenticator;
        {phase}_by_lua_block {{ require("resty.tokenpin").request() }}
        proxy_pass http://provider;
    }}
    location = /authenticator {{ proxy_pass http://provider/authenticator; proxy_pass_request_body off;
        proxy_set_header Content-Length ""; }}
    """
    g = gateway(server=server)

    def answer(request):
        if request.target == "/authenticator":
            return reply(request, g.allows)
        return reply(request)

    g.upstream.answer = answer
    for g.allows, status in ((401, 401), (200, 200), (403, 403), (200, 200)):
        with g.counting() as rose:
            answered = g.send(path="/guarded/v1/responses", cookie=forge("alpha"))
        assert answered.status == status and "cooldowns" not in rose
        assert rose.get("outcome_pinned", 0) == (decides or status == 200)


@pytest.mark.slow
def test_nginxs_own_answers_say_nothing_of_a_token(gateway):
    cooldowns = [{"status": [502, 504, 413, 429], "state": "down", "seconds": 60}]
    g = gateway(settings(cooldowns=cooldowns), server="proxy_read_timeout 300ms;")
    begun = forge("alpha")
    g.upstream.script = [lambda request: iter([])]  # never answers
    with g.counting() as rose:
        assert g.send(cookie=begun).status == 504
    assert "cooldowns" not in rose
    with g.counting() as rose:
        g.upstream.script = [answering(502)]
        assert g.send(cookie=begun).status == 502
    assert rose["cooldowns"] == 1, "that of the upstream is the upstream's"


def test_workers_share_states(gateway):
    """All workers know with their next request what one learns, and what an operator sets."""
    g = gateway()
    g.upstream.script = [answering(429, [("retry-after", "100")])]
    cooled = g.send().account
    got = newcomers(g, 40)
    assert cooled not in got and set(got) == set(ACCOUNTS) - {cooled}
    (other, last) = set(ACCOUNTS) - {cooled}

    def wish(**fields):
        body = json.dumps(fields).encode()
        return httpx2.post(f"http://127.0.0.1:{g.envoy.metrics_port}/set", content=body, trust_env=False).text

    assert wish(token=other, status={"state": "down"}) == "ok"
    assert set(newcomers(g, 20)) == {last}
    assert g.send(cookie=forge(other), path="/v1/responses/resp_1", method="GET").status == 503
    g.envoy.reload()
    g.clients = {}
    assert set(newcomers(g, 20)) == {last}, "after a reload it is so still"
    assert wish(token=other, status={"state": "draining", "weight": 70000}) == (
        "tokenpin: state refused: weight: expected a whole number, 0 to 65536"
    )
    assert wish(token="nobody", status={}) == "tokenpin: state refused: no such token"
    assert wish(token=other) == "ok"
    assert set(newcomers(g, 40)) == {other, last}


@pytest.mark.slow
def test_a_cooldown_ends_with_what_is_declared(gateway):
    """A token whose entry changes begins again, in all workers."""
    g = gateway(settings(cooldowns=[{"status": [429], "state": "down", "seconds": 1000}]))
    g.upstream.script = [answering(429)]
    assert g.send(cookie=forge("alpha")).status == 429
    assert "alpha" not in newcomers(g, 20)
    g.update(settings(tokens=tokens(alpha={"weight": 65535})))
    assert "alpha" in newcomers(g, 40)


def test_the_access_log_tells_the_decision(gateway, folder):
    g = gateway(settings(metadata=True), server=f"access_log {folder}/access.log decision;")
    g.send(cookie=forge("bravo"))
    g.send(consumer="x" * 5000)
    path = folder / "access.log"
    stack.wait_for("two lines", lambda: path.exists() and path.read_text().count("\n") == 2)
    first, second = path.read_text().splitlines()
    pattern = "source=cookie, outcome=pinned, pin_state=(home|elsewhere), verdict=valid, id_verdict=none, "
    assert re.fullmatch(pattern + "key_reason=absent, slot=1, token=bravo", first), first
    assert "key_reason=too_long" in second


@pytest.mark.slow
def test_secrets_change_while_requests_run(gateway, folder):
    """In all workers, whole; a bad file keeps the old secret."""
    path = folder / "secret"
    path.write_text("sk-1-fleeting\n")
    header = {"name": "x-secret", "prefix": "key ", "file": str(path)}
    g = gateway(settings(tokens=[{"name": "alpha", "headers": [header]}]))
    LOGGED_NEVER.update(f"sk-{number}-fleeting" for number in range(1, 6))

    def sent():
        """The secrets that several connections send, so those of all workers."""
        found = set()
        for _ in range(12):
            with client() as own:
                assert own.get(g.url + "/v1/files").status_code == 200
            found.add(g.upstream.last().value("x-secret"))
        return found

    assert sent() == {b"key sk-1-fleeting"}
    for number in (2, 3):
        stack.replace_file(path, f"sk-{number}-fleeting\n")
        stack.wait_for("the new secret", lambda n=number: sent() == {b"key sk-%d-fleeting" % n})
    for text in ("", "sk-4-fleeting\n\n", "sk-5-fleeting\x07", None):
        refused = g.counters()["secrets_refused"]
        path.unlink() if text is None else stack.replace_file(path, text)
        stack.wait_for("the refusal", lambda n=refused: g.counters()["secrets_refused"] == n + 1)
        assert sent() == {b"key sk-3-fleeting"}


def test_random_cookie_fields(gateway):
    """Against a second implementation of reading and stripping; the seed is printed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    g = gateway()
    values = [forge(account, age=age) for age, account in enumerate(ACCOUNTS)]
    ours = f"{COOKIE}="
    pieces = [";", ";", "; ", "=", " ", '"', ",", "a", "b=c", COOKIE, ours, "\xe9", *values]
    for _ in range(150):
        field = "a=" + "".join(draw.choice(pieces) for _ in range(draw.randrange(1, 14))) + ";z"
        head = f"GET /v1/files HTTP/1.1\r\nhost: g\r\ncookie: {field}\r\n\r\n"
        answer = g.raw(head.encode("latin-1"))
        assert answer.status == 200, repr(field)
        sent = field.encode("latin-1")
        stripped = twin.strip_field(sent, COOKIE.encode())
        assert g.upstream.last().values("cookie") == ([sent] if stripped is None else [stripped]), repr(field)
        found = [value.decode("latin-1") for value in twin.values_of(sent, COOKIE.encode())]
        usable = [value for value in found if value in values]
        verdict = "valid" if usable else "malformed" if found else "absent"
        assert answer.decision["verdict"] == verdict, repr(field)
        if usable:
            assert answer.account == ACCOUNTS[max(map(values.index, usable))], repr(field)


def test_hints_of_connections(gateway):
    """First requests of one connection agree, those of another do not, also after a reload."""
    g = gateway(settings(id_hint={"connection": True}))

    def ids():
        found = []
        for _ in range(4):
            with client() as own:
                answers = [own.post(g.url + "/v1/responses", content=b"{}") for _ in range(3)]
            lines = [answer.headers["set-cookie"] for answer in answers]
            values = [opened(line.partition("=")[2].partition(";")[0])[0].id for line in lines]
            assert len(set(values)) == 1
            found.append(values[0])
        return found

    before = ids()
    g.envoy.reload()
    assert len(set(before + ids())) == 8
