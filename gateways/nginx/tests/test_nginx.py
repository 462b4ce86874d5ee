"""What is nginx's own: its two workers, its phases, and its ways with headers and bodies."""

import gzip
import json
import random
import time

import httpx2
import pytest
import stack
import tokenpin_twin as twin
from gateway import (
    ACCOUNTS,
    CONSUMER,
    COOKIE,
    COOKIE_KEYS,
    LOGGED_NEVER,
    client,
    encoded,
    forge,
    opened,
    settings,
    tokens,
)
from provider import JSON, Provider
from upstream import answering, reply

RING = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
NATIVE = "resp_" + "0123456789abcdef" * 3


def sealed(native, account):
    return twin.seal_id(RING, b"", b"", native.encode(), twin.identity_hash(account.encode())).decode()


def posted(g, body, **options):
    return g.send("POST", "/v1/responses", body=json.dumps(body).encode(), headers=[JSON], **options)


def newcomers(g, count):
    """Which accounts get new sessions, over connections of their own: so each worker gets some."""
    accounts = []
    for _ in range(count):
        with client() as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=b"{}")
            accounts.append(answer.headers["x-account"])
    return accounts


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
    assert [line for line in lines if not line.startswith(COOKIE)] == [f"{n}={v}" for n, v in
        [line.split("=") for _, line in others]] + ["last=1"]
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
    """The request keeps its token; its client, the cookie; and nothing of the token's becomes the client's key."""
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
    # What nginx itself answers proves nothing of a token.
    for status in (404, 500):
        g.upstream.script = [answering(status)]
        answer = g.send(path="/page/v1/responses")
        assert (answer.status, answer.body, answer.cookie) == (200, b"a page of nginx's", None)
    assert g.send(path="/try/v1/responses", cookie=forge("bravo")).account == "bravo"


def test_a_redirected_request_without_the_variable(gateway):
    """It is forgotten, and decided as it came: that is said once."""
    g = gateway(server=REDIRECTS, log_format="$status")
    g.upstream.script = [answering(404), answering(200)]
    assert g.send(path="/again/v1/responses").status == 200
    assert "no log_format has $tokenpin" in g.envoy.log()


@pytest.mark.slow
@pytest.mark.parametrize("phase, decides", [("access", False), ("rewrite", True)])
def test_subrequests_are_none_of_ours(gateway, phase, decides):
    """An authenticator's 401 or 429 cools no token down, whether it is asked before the decision or behind it."""
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


@pytest.mark.parametrize("size", [100, 10**6])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_bodies_in_files(gateway, size, http2, length):
    """Over client_body_buffer_size, nginx writes them to files."""
    g = gateway(settings(sealed_ids="strict"), server="client_body_buffer_size 1k;")
    g.upstream.answer = provider = Provider()
    provider.accounts[NATIVE] = "bravo"
    id = sealed(NATIVE, "bravo")
    body = json.dumps({"previous_response_id": id, "input": "é" * size, "more": id}).encode()
    content = body if length else iter([body[:10], body[10:90], body[90:]])
    with client(http2) as own:
        answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
    assert answer.status_code == 200 and answer.headers["x-account"] == "bravo"
    got = g.upstream.last()
    assert json.loads(got.body) == {"previous_response_id": NATIVE, "input": "é" * size, "more": id}
    assert int(got.value("content-length")) == len(got.body)
    assert not list(g.folder.glob("tmp/body/*")), "a file is left"


def test_uploads_are_not_held(gateway):
    """With proxy_request_buffering off, the upstream gets the first part before the client has sent the second."""
    server = """
    location ~ /files$ {
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        proxy_request_buffering off;
        proxy_pass http://provider;
    }
    """
    g = gateway(settings(sealed_ids="seal"), server=server)
    seen = []
    read = type(g.upstream).read

    def spied(stream):
        seen.append(stream.peek(1))
        return read(g.upstream, stream)

    g.upstream.read = spied
    head = "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-length: 2000\r\ncontent-type: multipart/form-data; boundary=x\r\n\r\n"
    with g.connect() as connection:
        connection.sendall(head.encode() + b"a" * 1000)
        stack.wait_for("the upstream being asked", lambda: seen)
        connection.sendall(b"b" * 1000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert g.upstream.last().body == b"a" * 1000 + b"b" * 1000


def test_all_bodies_of_a_worker(gateway):
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100000), workers=1)
    large = b'{"input":"' + b"x" * 50000 + b'"}'
    head = b"POST /v1/responses HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 70000\r\n\r\n"
    for _ in range(3):
        with g.connect() as first:
            first.sendall(head + b"x" * 60000)
            time.sleep(0.2)
            answer = g.send(body=large, headers=[JSON])
            assert answer.status == 503 and answer.value("retry-after") == "1"
            assert json.loads(answer.body)["error"]["code"] == "too_many_bodies"
        # The client is gone: what it announced is given back.
        stack.wait_for("room", lambda: g.send(body=large, headers=[JSON]).status == 200)


def test_a_body_without_a_length_takes_all_room(gateway):
    """It may become as long as any. Requests that only read are served meanwhile, and the room is given back."""
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100000), workers=1)
    head = b"POST /v1/responses HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    small = b'{"input":"x"}'
    for ending in (b"d\r\n" + small + b"\r\n0\r\n\r\n", b""):
        with g.connect() as first:
            first.sendall(head)
            time.sleep(0.2)
            for content in (small, iter([small])):
                for http2 in (False, True):
                    answer = g.send(body=content, headers=[JSON], http2=http2)
                    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "too_many_bodies")
            for http2 in (False, True):
                assert g.send("GET", "/v1/responses/resp_1", cookie=forge("alpha"), http2=http2).status == 200
            first.sendall(ending)
            if ending:
                assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        stack.wait_for("room", lambda: g.send(body=iter([small]), headers=[JSON]).status == 200)


def test_gzip_of_the_upstream_and_of_nginx(gateway):
    g = gateway(settings(sealed_ids="seal"), server="gzip on; gzip_types application/json; gzip_min_length 1;")
    body = json.dumps({"id": NATIVE, "object": "response"}).encode()
    accepts = [("accept-encoding", "gzip")]
    # nginx compresses what was sealed.
    g.upstream.script = [answering(200, [JSON], body)]
    answer = g.send(headers=accepts)
    assert json.loads(answer.body)["id"].endswith(("tp0", "tp1", "tp2"))
    assert g.upstream.last().value("accept-encoding") == b"identity"
    # What comes compressed all the same passes, and is counted.
    g.upstream.script = [answering(200, [JSON, ("content-encoding", "gzip")], gzip.compress(body))]
    with g.counting() as rose:
        answer = g.send(headers=accepts)
    assert json.loads(answer.body)["id"] == NATIVE and rose["bodies_not_sealed"] == 1


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
    """What one worker learns, all know with their next request; also what an operator sets."""
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
    """A token whose entry changes begins anew, in all workers."""
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
    assert first == (
        "source=cookie, outcome=pinned, pin_state=elsewhere, verdict=valid, id_verdict=none, key_reason=absent, slot=1, token=bravo"
    ) or "pin_state=home" in first
    assert "key_reason=too_long" in second


def test_limits_of_nginx_in_the_gateways_words(gateway):
    g = gateway(settings(sealed_ids="seal"), max_body=1000)
    for chunks in (b"x" * 2000, iter([b"x" * 600, b"x" * 600])):
        with client() as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=chunks)
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "request_too_large"
        with client() as own:
            headers = encoded([JSON, ("anthropic-version", "2023-06-01")])
            answer = own.post(g.url + "/v1/responses", headers=headers, content=b"x" * 2000)
        assert answer.json()["error"]["type"] == "request_too_large"


def test_refusals_leave_the_connection_usable(gateway):
    """What a refused client has still to send is no request of its own."""
    g = gateway(settings(sealed_ids="strict"))
    smuggled = b"GET /v1/files HTTP/1.1\r\nhost: g\r\n\r\n"
    head = (
        f"POST /v1/responses HTTP/1.1\r\nhost: g\r\ncontent-type: text/plain\r\ncontent-length: {len(smuggled)}\r\n\r\n"
    ).encode()
    asked = len(g.upstream.requests)
    for first, second in ((head, smuggled), (head + smuggled, b""), (head + smuggled[:20], smuggled[20:])):
        with g.connect() as connection:
            connection.sendall(first)
            received = connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 415"), received
            connection.sendall(second)
            connection.settimeout(0.5)
            try:
                assert connection.recv(65536) == b""
            except TimeoutError:
                pass
    assert len(g.upstream.requests) == asked
    answer = posted(g, {"input": "x"})
    assert answer.status == 200


def test_a_request_without_a_version_never_passes(gateway):
    """Nothing can be put on HTTP/0.9: without credentials it would cool the token down."""
    g = gateway()
    asked = len(g.upstream.requests)
    for line in (b"GET /v1/files\r\n", b"GET /v1/files HTTP/0.9\r\n", b"GET /v1/filesHTTP/1.1\r\nhost: g\r\n\r\n"):
        with g.connect() as connection:
            connection.sendall(line)
            received = connection.recv(65536)
            assert b"400 Bad Request" in received, received
    assert len(g.upstream.requests) == asked
    observing = gateway(settings(observe=True))
    with observing.connect() as connection:
        connection.sendall(b"GET /v1/files\r\n")
        assert connection.recv(65536)
    assert len(observing.upstream.requests) == asked + 1


@pytest.mark.slow
def test_secrets_change_while_requests_run(gateway, folder):
    """In all workers, whole; a bad file keeps the old secret."""
    path = folder / "secret"
    path.write_text("sk-1-fleeting\n")
    header = {"name": "x-secret", "prefix": "key ", "file": str(path)}
    g = gateway(settings(tokens=[{"name": "alpha", "headers": [header]}]))
    LOGGED_NEVER.update(f"sk-{number}-fleeting" for number in range(1, 6))

    def sent():
        """What several connections send, so what all workers do."""
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
