"""Hostile and unlucky clients, upstreams and workers, in ways that are nginx's own."""

import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import socket
import time

import pytest
import stack
from asking import NATIVE, newcomers, posted, sealed
from gateway import ACCOUNTS, CONSUMER, COOKIE, client, consumer_of, encoded, forge, opened, settings
from provider import JSON, Provider
from server import LOCATION
from upstream import RESET, answering, reply

SEALED = re.compile(r"^resp_[\w-]+tp[012]$")
SEALING = settings(sealed_ids="seal")


def head(method="POST", target="/v1/responses", version="1.1", length=None, **headers):
    pairs = {"host": "g", **headers} | ({} if length is None else {"content-length": length})
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in pairs.items() if value is not None)
    return f"{method} {target} HTTP/{version}\r\n{lines}\r\n".encode()


def talk(g, *parts):
    """Sends the parts and returns all that comes until the connection ends."""
    with g.connect() as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.02)
        found = b""
        while data := connection.recv(65536):
            found += data
        return found


def body_of(id=NATIVE, size=0):
    return json.dumps({"id": id, "object": "response", "text": "x" * size}).encode()


def test_requests_that_wait_keep_their_own_keys(gateway):
    """While one waits for its body, others are decided by the same worker."""
    g = gateway(SEALING, workers=1)
    body = b'{"input":"x"}'
    for number in range(6):
        slow, fast = ACCOUNTS[number % 3], ACCOUNTS[(number + 1) % 3]
        fields = {CONSUMER: consumer_of(slow), "content_type": "application/json", "connection": "close"}
        with g.connect() as connection:
            connection.sendall(head(length=len(body), **fields) + body[:4])
            time.sleep(0.05)
            assert g.send(consumer=consumer_of(fast)).account == fast
            connection.sendall(body[4:])
            found = b"".join(iter(lambda: connection.recv(65536), b""))
        assert f"x-account: {slow}".encode() in found, found


@pytest.mark.slow
def test_many_requests_in_parts(gateway):
    """In one worker, their bodies and answers in parts and in any order; the seed is printed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    g = gateway(SEALING, workers=1, server="client_body_buffer_size 1k;")
    g.upstream.answer = provider = Provider()
    asked = {}
    for number in range(60):
        account, native = draw.choice(ACCOUNTS), f"resp_{number:048x}"
        provider.accounts[native] = account
        body = json.dumps({"input": "x" * draw.choice([1, 900, 3000]), "previous_response_id": sealed(native, account)})
        fields = {CONSUMER: f"consumer-{number}", "content_type": "application/json", "connection": "close"}
        data = head(length=len(body), **fields) + body.encode()
        cuts = sorted(draw.randrange(len(data)) for _ in range(draw.choice([0, 1, 3])))
        parts = [data[at:end] for at, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        asked[number] = [g.connect(), parts, account, native, b""]
    while waiting := [number for number, (_, parts, *_) in asked.items() if parts]:
        connection, parts, *_ = asked[draw.choice(waiting)]
        connection.sendall(parts.pop(0))
    for connection, _, account, native, _ in asked.values():
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.headers["x-account"]) == (200, account)
        answer = json.loads(response.read())
        connection.close()
        assert SEALED.match(answer["id"]), answer
        (got,) = [r for r in g.upstream.requests if native in r.body.decode()]
        assert got.account == account


@pytest.mark.slow
def test_streams_of_one_connection(gateway):
    """Over HTTP/2 their frames are mixed, and some streams are reset while the gateway waits for
    their bodies."""
    g = gateway(settings(sealed_ids="seal", max_held_bodies=2_000_000), workers=1)
    body = json.dumps({"input": "x" * 20_000}).encode()
    for _ in range(3):
        requests = []
        for number in range(40):
            fields = [(":path", "/v1/responses"), (CONSUMER, consumer_of(ACCOUNTS[number % 3])), JSON]
            # A length that is not the body's resets the stream.
            length = len(body) + (number % 5 == 4)
            requests.append([*fields, ("content-length", str(length))])
        answers = g.multiplex(*requests, body=body)
        for number, answer in enumerate(answers):
            if number % 5 == 4:
                assert answer is None or answer.status == 400, answer
            else:
                assert answer.account == ACCOUNTS[number % 3]
    assert g.send(body=body + b" " * 1_900_000, headers=[JSON]).status == 200


def test_no_request_inherits_from_the_one_before(gateway):
    """Structures are used again: each kind of request comes behind each other one, and is as if
    it were the first."""
    fields = settings(sealed_ids="seal", carrier_header="x-pin", retry={"status": [429]}, drop_when_moved=["x-drop"])
    g = gateway(fields, workers=1)
    g.upstream.answer = provider = Provider()
    provider.accounts[NATIVE] = "bravo"
    id = sealed(NATIVE, "bravo")

    def sealed_target():
        answer = g.send("GET", f"/v1/responses/{id}")
        assert (answer.status, answer.account, g.upstream.last().target) == (200, "bravo", f"/v1/responses/{NATIVE}")

    def sealed_body():
        answer = posted(g, {"previous_response_id": id, "input": "x"})
        assert (answer.account, json.loads(g.upstream.last().body)["previous_response_id"]) == ("bravo", NATIVE)
        assert SEALED.match(json.loads(answer.body)["id"]), answer.body

    def carried():
        answer = g.send(headers=[("x-pin", forge("charlie"))])
        assert answer.account == "charlie" and g.upstream.last().values("x-pin") == []

    def with_cookie():
        answer = g.send(cookie=forge("alpha"))
        assert (answer.account, answer.cookie, answer.value("x-pin")) == ("alpha", None, None)

    def new():
        answer = g.send()
        assert answer.decision["source"] == "minted" and answer.cookie and answer.value("x-pin") is None

    def stateless():
        answer = g.send("GET", "/v1/models", body=None)
        assert answer.decision["source"] == "stateless" and answer.cookie is None

    def upload():
        answer = g.send(path="/v1/files", headers=[("content-type", "multipart/form-data; boundary=x")], body=b"--x--")
        assert answer.status == 200 and g.upstream.last().body == b"--x--"

    def refused():
        asked = len(g.upstream.requests)
        answer = g.send("GET", f"/v1/responses/{id[:-10]}AAAAAAA{id[-3:]}")
        assert answer.status == 404 and len(g.upstream.requests) == asked

    def retried():
        g.upstream.script = [answering(429)]
        asked = len(g.upstream.requests)
        answer = g.send("GET", "/v1/models", body=None)
        first, second = g.upstream.requests[asked:]
        assert answer.outcome == "retried" and first.account != second.account == answer.account

    kinds = [sealed_target, sealed_body, carried, with_cookie, new, stateless, upload, refused, retried]
    for first in kinds:
        for second in kinds:
            first()
            second()
            # A cooldown of the retried one would move others.
            if retried in (first, second):
                g.envoy.ask_to_set("alpha", "bravo", "charlie")


def test_the_access_log_tells_no_ones_decision(gateway, folder):
    """A request that ends before it is decided gets a line that says so, not the decision of the
    one before."""
    fields = settings(sealed_ids="seal", metadata=True)
    g = gateway(fields, workers=1, max_body=1000, server=f"access_log {folder}/access.log decision;")
    path, lines = folder / "access.log", []

    def line():
        stack.wait_for("a line", lambda: path.exists() and path.read_text().count("\n") > len(lines))
        lines[:] = path.read_text().splitlines()
        return lines[-1]

    def leaves():
        with g.connect() as connection:
            connection.sendall(head(length=100, content_type="application/json") + b"{")
            time.sleep(0.1)

    def sends_too_much():
        assert g.send(body=iter([b"x" * 600, b"x" * 600]), headers=[JSON]).status == 413

    for end in (leaves, sends_too_much):
        assert g.send(cookie=forge("bravo"), headers=[JSON]).account == "bravo"
        assert "outcome=pinned" in line()
        end()
        undecided = "source=none, outcome=none, pin_state=none, verdict=absent, id_verdict=none, key_reason=ok"
        assert line() == undecided, end.__name__


@pytest.mark.parametrize("log_format", ["$tokenpin", pytest.param("$status", marks=pytest.mark.slow)])
def test_a_subrequest_that_shares_the_ctx(gateway, log_format):
    """The exchange stays its parent's: each client gets the cookie of the session that it began,
    also while others are served."""
    server = """
    log_subrequest on;
    location /v1/ {
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        access_by_lua_block {
            ngx.location.capture("/part", { ctx = ngx.ctx })
            ngx.sleep(0.1)
        }
        proxy_pass http://provider;
    }
    location = /part {
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        proxy_pass http://provider/part;
    }
    """
    g = gateway(workers=1, server=server, log_format=log_format)

    def ask(_):
        with client() as single:
            return g.send(via=single)

    with g.counting() as rose, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    cookies = [answer.cookie for answer in answers]
    assert None not in cookies and len(set(cookies)) == len(answers)
    for answer in answers:
        assert opened(answer.cookie)[1] == answer.account
    assert rose["cookies_set"] == len(answers)


def test_nothing_of_a_client_stays(gateway):
    """The structures that wait for the next request hold no text of the one before."""
    server = """
    location = /free {
        content_by_lua_block {
            local ffi = require "ffi"
            local function free_of(use)
                for at = 1, 60 do
                    local name, value = debug.getupvalue(use, at)
                    if name == "free" then return value end
                end
            end
            local function show(value)
                if type(value) == "cdata" then return ngx.print(ffi.string(value, ffi.sizeof(value))) end
                if type(value) ~= "table" then return ngx.print(tostring(value), " ") end
                for _, each in pairs(value) do show(each) end
            end
            local exchanges = free_of(require("resty.tokenpin.exchange").begin)
            local ids = free_of(require("resty.tokenpin.ids").of)
            ngx.print(#exchanges, " exchanges, ", #ids, " ids: ")
            show(exchanges)
            show(ids)
        }
    }
    """
    fields = settings(sealed_ids="seal", carrier_header="x-pin", tenant={"header": "x-tenant"}, retry={"status": [429]})
    g = gateway(fields, workers=1, server=server)
    tenant, carried = ("x-tenant", "tenant-of-client"), forge("bravo", scope=b"\0tenant-of-client")
    host, owner = f"{g.url}"[7:], "consumer-of-client"
    g.upstream.script = [answering(429), answering(200, [JSON], body_of())]
    first = g.send(headers=[tenant, JSON])
    assert first.outcome == "retried" and first.cookie
    unknown = sealed(NATIVE, "bravo")[:-10] + "AAAAAAAtp1"
    own = [tenant, ("x-pin", carried)]
    answer = g.send("GET", f"/v1/responses/{unknown}?of=client", consumer=owner, headers=own)
    assert answer.status == 404 and unknown in answer.body.decode()
    found = g.send("GET", "/free").body.decode("latin-1")
    assert found.startswith("1 exchanges, 1 ids: "), found
    for text in ("of-client", "of=client", unknown, carried, host, "POST", COOKIE):
        assert text not in found, text
    assert not re.search(r"[\w-]{67}", found, re.ASCII), "the value of a cookie"


@pytest.mark.slow
def test_versions_of_http(gateway):
    """HTTP/1.0 without a Host, with a connection that stays, and an answer that is sealed."""
    g = gateway(SEALING)
    g.upstream.answer = answering(200, [JSON], body_of())
    for keep in ("close", "keep-alive"):
        for host in ("g", None):
            cookie = f"{COOKIE}={forge('bravo')}"
            asked = head("GET", "/v1/responses/resp_1", "1.0", connection=keep, cookie=cookie, host=host)
            with g.connect() as connection:
                connection.sendall(asked)
                connection.settimeout(5)
                found = b""
                while b"}" not in found:
                    found += connection.recv(65536)
            assert b" 200 " in found and b"x-account: bravo" in found
            assert SEALED.match(json.loads(found.partition(b"\r\n\r\n")[2])["id"]), found


@pytest.mark.slow
def test_absolute_targets(gateway):
    """They name the host twice; the id counts, and is opened."""
    g = gateway(SEALING)
    id = sealed(NATIVE, "charlie")
    for start, end in (("http://g/", ""), ("http://other:80/", "?a=b"), ("HTTP://g//", "#"), ("http://g/./", "")):
        target = f"{start}v1/responses/{id}{end}"
        answer = g.raw(head("GET", target, connection="close"))
        assert answer.account == "charlie", (target, answer)
        assert NATIVE in g.upstream.last().target and id not in g.upstream.last().target


@pytest.mark.slow
def test_pipelined_requests(gateway):
    """Each keeps its own body, ids and account, and one that is refused is no end."""
    g = gateway(settings(sealed_ids="strict"))
    g.upstream.answer = provider = Provider()
    pipeline, wanted = b"", []
    for number in range(30):
        account = ACCOUNTS[number % 3]
        native = f"resp_{number:048x}"
        provider.accounts[native] = account
        id = sealed(native, account)
        if number % 7 == 3:
            id = id[:-4] + "AAA" + id[-1]
        body = json.dumps({"previous_response_id": id, "input": "x" * (number * 50)}).encode()
        wanted.append(None if number % 7 == 3 else (account, native))
        more = {"connection": "close"} if number == 29 else {}
        pipeline += head(length=len(body), content_type="application/json", **more) + body
    asked = len(g.upstream.requests)
    found = talk(g, pipeline)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", found)
    assert [status == b"200" for status in statuses] == [each is not None for each in wanted], statuses
    got = [(r.account, json.loads(r.body)["previous_response_id"]) for r in g.upstream.requests[asked:]]
    assert got == [each for each in wanted if each]


@pytest.mark.slow
@pytest.mark.parametrize("server", [
    "client_body_buffer_size 1k;",
    "client_body_buffer_size 1k; proxy_request_buffering off;",
    "client_body_in_file_only clean;",
    "client_body_in_single_buffer on;",
    "lua_need_request_body on;",
])  # fmt: skip
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_an_id_at_the_end_of_a_body(gateway, server, http2):
    g = gateway(SEALING, server=server)
    g.upstream.answer = provider = Provider()
    provider.accounts[NATIVE] = "charlie"
    for size in (1, 5_000, 5_000_000):
        text = "x" * size
        body = json.dumps({"input": text, "previous_response_id": sealed(NATIVE, "charlie")}).encode()
        for content in (body, iter([body[:10], body[10:]])):
            with client(http2) as own:
                answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
            assert (answer.status_code, answer.headers["x-account"]) == (200, "charlie")
            assert json.loads(g.upstream.last().body) == {"input": text, "previous_response_id": NATIVE}
    # nginx removes a file when it ends the request, which may be after the client has its answer.
    stack.wait_for("no file to be left", lambda: not list(g.folder.glob("tmp/body/*")))


@pytest.mark.slow
def test_bodies_that_break_off(gateway):
    """A worker waits for none of them any more: all room is there again."""
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100_000), workers=1)
    whole = b"{}" + b" " * 95_000
    chunked = head(transfer_encoding="chunked", content_type="application/json", connection="close")
    for number in range(30):
        with g.connect() as connection:
            connection.sendall(chunked + b'5\r\n{"a"'[: 3 + number % 6])
            time.sleep(0.01 * (number % 2))
            if number % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stack.wait_for("room", lambda: g.send(body=whole, headers=[JSON]).status == 200)
    for bad in (b"zz\r\n", b"f" * 18 + b"\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n", b"\0"):
        assert talk(g, chunked + bad + b"\r\n").startswith(b"HTTP/1.1 400 "), bad
        assert g.send(body=whole, headers=[JSON]).status == 200


@pytest.mark.slow
def test_trailers_and_chunks(gateway):
    """Extensions of chunks and trailers are no part of the body."""
    g = gateway(SEALING)
    id = sealed(NATIVE, "bravo")
    body = json.dumps({"previous_response_id": id}).encode()
    first, second = body[:20], body[20:]
    chunks = b"%x;ext=1\r\n%s\r\n%x\r\n%s\r\n0\r\nx-session: y\r\ncookie: a=b\r\n\r\n" % (
        len(first),
        first,
        len(second),
        second,
    )
    found = talk(g, head(transfer_encoding="chunked", content_type="application/json", connection="close") + chunks)
    assert b" 200 " in found and b"x-account: bravo" in found
    last = g.upstream.last()
    assert json.loads(last.body) == {"previous_response_id": NATIVE} and last.values("cookie") == []


@pytest.mark.slow
def test_expect_100_continue(gateway):
    """The body is asked for before it is read; one that is too long is not."""
    g = gateway(settings(sealed_ids="seal", max_body=1000))
    body = b'{"input":"x"}'
    asked = {"content_type": "application/json", "expect": "100-continue", "connection": "close"}
    with g.connect() as connection:
        connection.sendall(head(length=len(body), **asked))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 200 ")
    with g.connect() as connection:
        connection.sendall(head(length=10**9, **asked))
        found = connection.recv(65536)
    assert found.startswith(b"HTTP/1.1 413 ") and b"request_too_large" in found


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upstream_that_ends_early(gateway, framing):
    """The client sees that the answer is not whole, and nothing of it comes into another."""
    g = gateway(SEALING)
    body = body_of()
    for cut in range(1, len(body) - 1, 7):
        for end in ([], [RESET]):
            fields = [JSON, ("content-length", len(body)) if framing == "length" else ("transfer-encoding", "chunked")]
            part = body[:cut] if framing == "length" else b"%x\r\n%s\r\n" % (cut, body[:cut])

            def answer(request):
                yield reply(request, 200, [*fields, ("connection", "close")], b"", False)
                yield part
                yield RESET

            g.upstream.script = [answer]
            found = talk(g, head(length=2, content_type="application/json", connection="close") + b"{}")
            assert not found.endswith(b"0\r\n\r\n"), found
            g.upstream.script = [answering(200, [JSON], body)]
            assert SEALED.match(json.loads(g.send(headers=[JSON]).body)["id"])


@pytest.mark.slow
def test_headers_over_nginxs_limits(gateway):
    """nginx refuses them by itself, in both directions, and no token pays for it."""
    cooldowns = [{"status": [400, 414, 431, 494, 502], "state": "down", "seconds": 60}]
    buffers = "proxy_buffer_size 8k; proxy_buffers 4 8k; proxy_busy_buffers_size 8k;"
    g = gateway(settings(cooldowns=cooldowns), http=buffers)
    begun = forge("alpha")
    g.upstream.script = [answering(200, [("x-long", "y" * 20000)])]
    with g.counting() as rose:
        answer = g.send(cookie=begun)
        assert answer.status == 502 and answer.cookie is None
        assert g.raw(head(length=2, x_long="y" * 200_000) + b"{}").status in (400, 431, 494)
    assert "cooldowns" not in rose
    fits = "; ".join(f"c{number}={'v' * 90}" for number in range(1200))
    answer = g.send(headers=[("cookie", f"{fits}; {COOKIE}={begun}")])
    assert answer.account == "alpha" and g.upstream.last().values("cookie") == [fits.encode()]


@pytest.mark.slow
def test_a_redirect_by_the_upstream(gateway):
    """X-Accel-Redirect: the account has answered with success, and another location has the
    body."""
    server = """
    location /inside/ { internal; proxy_pass http://provider; }
    location /page/ { internal; content_by_lua_block { ngx.print("a page of nginx's") } }
    location /none/ { internal; return 404; }
    """
    g = gateway(settings(cooldowns=[{"status": [404], "state": "down", "seconds": 60}]), server=server)
    for path, status, body in (("/page/x", 200, b"a page of nginx's"), ("/inside/v1/files", 200, b"{}")):
        g.upstream.script = [answering(200, [("x-accel-redirect", path)])]
        answer = g.send()
        assert (answer.status, answer.body) == (status, body)
        assert opened(answer.cookie)[1] == g.upstream.last().account
    g.upstream.script = [answering(200, [("x-accel-redirect", "/none/x")])]
    with g.counting() as rose:
        answer = g.send()
    assert (answer.status, answer.cookie) == (404, None) and "cooldowns" not in rose


def test_a_mirror_in_a_location_that_decides(gateway):
    """A subrequest of a request that is decided keeps what is on it: it is never decided again."""
    server = """
    location /v1/ {
        mirror /mirror;
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        proxy_pass http://provider;
    }
    location = /mirror {
        internal;
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        proxy_pass http://provider/mirrored;
    }
    """
    g = gateway(settings(session=[{"header": "authorization"}], keyed_cookies=True), server=server)
    with g.counting() as rose:
        for number in range(12):
            asked = len(g.upstream.requests)
            answer = g.send(headers=[("authorization", f"Bearer mine-{number}")])
            stack.wait_for("the mirror", lambda n=asked: len(g.upstream.requests) == n + 2)
            one, other = g.upstream.requests[asked:]
            assert one.account == other.account == answer.account is not None
    assert rose["source_session"] == 12


@pytest.mark.slow
def test_a_crash_of_workers_loses_no_state(gateway):
    """The states are the dictionary's, which outlives a worker; and what it waited for goes with
    it."""
    cooldowns = [{"status": [429], "state": "down", "seconds": 1000}]
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100_000, cooldowns=cooldowns), workers=1)
    g.upstream.script = [answering(429)]
    assert g.send(cookie=forge("alpha")).status == 429
    assert g.counters()["cooldowns"] == 1
    body = b'{"input":"' + b"x" * 50_000 + b'"}'
    for _ in range(3):
        with g.connect() as connection:
            connection.sendall(head(length=90_000, content_type="application/json") + b"{")
            stack.wait_for("no room", lambda: g.send(headers=[JSON], body=body).status == 503)
            old = g.envoy.workers()
            os.kill(int(*old), signal.SIGSEGV)
            stack.wait_for("a new worker", lambda o=old: g.envoy.workers() - o)
            g.clients = {}
            assert g.send(headers=[JSON], body=body).status == 200
        assert "alpha" not in newcomers(g, 20)
        assert g.send("GET", "/v1/responses/resp_1", cookie=forge("alpha")).status == 503
    assert g.counters()["cooldowns"] == 1
    # The fixture takes it for a defect.
    text = g.envoy.log_file.read_text()
    g.envoy.log_file.write_text(re.sub(r"exited on signal 11.*", "killed", text))


@pytest.mark.slow
@pytest.mark.parametrize("part, server", [
    ("http", "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;"),
    ("location", "proxy_buffering on; proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;"),
    ("server", "gzip on; gzip_types application/json; gzip_min_length 1; gzip_buffers 4 1k;"),
    ("server", "postpone_output 0; output_buffers 1 64;"),
], ids=["unbuffered", "buffered", "gzip", "output"])  # fmt: skip
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_small_buffers(gateway, part, server, http2):
    """Ids that a buffer's end cuts are sealed nevertheless, and each byte around them is as it
    was."""
    if part == "location":
        server += LOCATION
    g = gateway(SEALING, **{part: server})
    items = [{"id": f"resp_{number:048x}", "text": "é" * number} for number in range(200)]
    body = json.dumps({"object": "list", "data": items}, ensure_ascii=False).encode()
    for framed in (True, False):

        def answer(request):
            if framed:
                return reply(request, 200, [JSON], body)
            parts = [body[at : at + 777] for at in range(0, len(body), 777)]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
            return reply(request, 200, [JSON, ("transfer-encoding", "chunked")], chunks + b"0\r\n\r\n", False)

        g.upstream.script = [answer]
        with client(http2) as own:
            answered = own.request("GET", g.url + "/v1/responses", headers=encoded([("accept-encoding", "gzip")]))
        found = answered.json()["data"]
        assert [each["text"] for each in found] == [each["text"] for each in items]
        assert all(SEALED.match(each["id"]) for each in found)


def test_a_client_that_leaves(gateway):
    """Streams that are not read to their end leave nothing to those that come later."""
    g = gateway(settings(sealed_ids="seal", max_held_bodies=200_000), workers=1)

    def answer(request):
        yield reply(request, 200, [JSON, ("transfer-encoding", "chunked")], b"", False)
        for number in range(200):
            data = b'%s{"id":"resp_%048x"},' % (b"" if number else b"[", number)
            yield b"%x\r\n%s\r\n" % (len(data), data)
            time.sleep(0.002)
        yield RESET

    g.upstream.answer = answer
    for number in range(20):
        connection = g.connect()
        connection.sendall(head(length=2, content_type="application/json") + b"{}")
        assert connection.recv(100)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    for number in range(20):
        kind = JSON if number % 2 else ("content-type", "text/plain")
        g.upstream.script = [answering(200, [kind], body_of())]
        id = json.loads(g.send(headers=[JSON], body=b"{}" + b" " * 150_000).body)["id"]
        assert SEALED.match(id) if kind == JSON else id == NATIVE


def test_refusals_leave_the_connection_usable(gateway):
    """The bytes that a refused client has still to send are no request."""
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
