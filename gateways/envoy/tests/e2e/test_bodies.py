"""Bodies, streams, resets, and replies that Envoy makes itself."""

import socket
import threading

import httpx2
import pytest
import stack
from gateway import CONSUMER, COOKIE, client, encoded, forge, opened, route, settings
from stack import wait_for
from upstream import RESET, reply

CLOSED_PORT = 1  # on which nothing listens


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_server_sent_events_pass_as_they_come(gateway, http2):
    g = gateway()
    received = threading.Event()

    def events(request):
        yield reply(
            request,
            200,
            [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")],
            b"",
            length=False,
        )
        yield b"7\r\ndata: 1\r\n"
        assert received.wait(10), "the first event never reached the client"
        yield b"7\r\ndata: 2\r\n0\r\n\r\n"

    g.upstream.answer = events
    with client(http2) as own:
        with own.stream("POST", g.url + "/v1/responses", content=b"{}") as response:
            assert response.status_code == 200
            cookie = response.headers["set-cookie"].partition("=")[2].partition(";")[0]
            assert opened(cookie)[1] == response.headers["x-account"]
            parts = response.iter_raw()
            assert next(parts) == b"data: 1"
            received.set()
            assert b"".join(parts) == b"data: 2"


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_request_body_streams(gateway, http2):
    """The bytes reach the upstream before the client has sent all of them."""
    g = gateway()
    body = bytes(range(256)) * 4096

    def parts():
        yield body[:1000]
        yield body[1000:]

    with client(http2) as own:
        pairs = encoded([("cookie", f"{COOKIE}={forge('bravo')}")])
        response = own.post(g.url + "/v1/files", headers=pairs, content=parts())
    assert response.headers["x-account"] == "bravo"
    assert g.upstream.last().body == body


@pytest.mark.smoke
def test_requests_without_a_body(gateway):
    g = gateway()
    cookie = forge("charlie")
    for method in ("GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"):
        for http2 in (False, True):
            answer = g.send(method, "/v1/files/f", cookie=cookie, body=b"", http2=http2)
            assert (answer.status, answer.account) == (200, "charlie"), method
            assert g.upstream.last().body == b""
    answer = g.send("OPTIONS", "/v1/responses", cookie=cookie)
    assert answer.decision["source"] == "stateless" and answer.cookie is None
    asterisk = g.raw(b"OPTIONS * HTTP/1.1\r\nHost: g\r\n\r\n")
    assert asterisk is None or asterisk.status < 500


def test_responses_without_a_body(gateway):
    g = gateway()
    for status in (200, 204, 304):
        g.upstream.answer = lambda request, s=status: reply(request, s, body=b"", length=s == 200)
        answer = g.send("GET", "/v1/files")
        assert (answer.status, answer.body) == (status, b"")
        assert (answer.cookie is not None) == (status < 300)


def test_informational_responses(gateway):
    g = gateway()
    g.upstream.answer = lambda request: b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + reply(request)
    answer = g.begin()
    assert opened(answer.cookie)[1] == answer.account
    expect = "POST /v1/files HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    expect += f"Cookie: {COOKIE}={forge('alpha')}\r\n\r\n{{}}"
    g.upstream.answer = reply
    with g.connect() as connection:
        connection.sendall(expect.encode())
        received = b""
        while b"x-account" not in received:
            received += connection.recv(65536)
    assert b"x-account: alpha" in received


@pytest.mark.smoke
def test_clients_that_go_away(gateway):
    g = gateway()
    release = threading.Event()

    def slow(request):
        release.wait(10)
        return reply(request)

    head = f"POST /v1/responses HTTP/1.1\r\nHost: g\r\nCookie: {COOKIE}={forge('alpha')}\r\n"
    endings = {
        "in the head": head.encode(),
        "before the body": f"{head}Content-Length: 9\r\n\r\n".encode(),
        "in the body": f"{head}Content-Length: 9\r\n\r\nabc".encode(),
        "in a chunk": f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\nab".encode(),
        "before the answer": f"{head}Content-Length: 0\r\n\r\n".encode(),
    }
    g.upstream.answer = slow
    for where, data in endings.items():
        for _ in range(10):
            connection = g.connect()
            connection.sendall(data)
            if where == "before the answer":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
    active = "http.gateway.downstream_rq_active"
    wait_for("the streams being freed", lambda: g.envoy.stat(active) == 0)
    release.set()
    g.upstream.answer = reply
    assert g.send(cookie=forge("alpha")).account == "alpha"


@pytest.mark.smoke
def test_an_upstream_that_resets_in_the_response(gateway):
    g = gateway()

    def cut(request):
        yield reply(request, 200, [("content-length", "100")], b"", length=False) + b"abc"
        yield RESET

    g.upstream.script += [cut] * 3
    for _ in range(3):
        with pytest.raises(httpx2.HTTPError):
            g.send(cookie=forge("alpha"))
    again = g.send(cookie=forge("alpha"))
    assert (again.outcome, again.account) == ("pinned", "alpha")
    assert again.decision["pin_state"] in ("home", "elsewhere")


def reset_at_once(request):
    yield RESET


def too_slow(request):
    threading.Event().wait(5)
    return reply(request)


LOCAL = {
    "no healthy host": ("/empty/", 503, None),
    "no listener": ("/closed/", 503, None),
    "no such cluster": ("/unknown/", 503, None),
    "a direct response of success": ("/direct/200/", 200, None),
    "a direct response of 401": ("/direct/401/", 401, None),
    "a redirect": ("/redirect/", 301, None),
    "no route": ("/none/", 404, None),
    "a timeout": ("/slow/", 504, too_slow),
    "a reset": ("/", 503, reset_at_once),
    "no HTTP": ("/", 502, lambda request: b"SSH-2.0-x\r\n\r\n"),
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", LOCAL)
def test_envoys_own_replies_prove_nothing(gateways, case):
    prefix, status, answer = LOCAL[case]
    rules = [{"status": [401, 404, 502, 503, 504], "state": "down", "seconds": 60}]
    g = gateways()
    if answer:
        g.upstream.answer = answer
    empty = stack.cluster("empty", 1)
    del empty["load_assignment"]["endpoints"]
    directs = [{"match": {"prefix": f"/direct/{code}/"}, "direct_response": {"status": code}} for code in (200, 401)]
    g.configure(
        routes=[
            route("/empty/", "empty"),
            route("/closed/", "closed"),
            route("/unknown/", route={"cluster_header": "x-unknown"}),
            *directs,
            {"match": {"prefix": "/redirect/"}, "redirect": {"path_redirect": "/"}},
            route("/slow/", route={"timeout": "0.2s"}),
            {
                "match": {
                    "prefix": "/none/",
                    "headers": [{"name": "x-never", "present_match": True}],
                },
                "direct_response": {"status": 200},
            },
        ],
        clusters=[empty, stack.cluster("closed", CLOSED_PORT)],
    )
    if case == "no route":
        hosts = g.envoy.configuration["static_resources"]["listeners"][0]["filter_chains"][0]
        manager = hosts["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"][0]["routes"].pop()
    g.start(settings(cooldowns=rules, success=[100, 599], carrier_header="x-pin"))
    for headers in ([], [("x-pin", "")]):
        with g.counting() as rose:
            reply_ = g.send(path=f"{prefix}v1/responses", headers=headers)
        assert reply_.status == status, reply_
        assert reply_.values("set-cookie") == [] and reply_.values("x-pin") == []
        assert "cooldowns" not in rose and "cookies_set" not in rose, rose
    with g.counting() as rose:
        g.send(path=f"{prefix}v1/responses", cookie=forge("alpha"))
    assert "cooldowns" not in rose and "pin_state_down" not in rose


def test_an_upgrade(gateway):
    """A WebSocket: its handshake is a request like any other."""
    g = gateway(upgrade_configs=[{"upgrade_type": "websocket"}])

    def echo(request):
        yield (
            b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"x-account: " + (request.account or "nobody").encode() + b"\r\n\r\nhello"
        )
        yield RESET

    g.upstream.answer = echo
    with g.connect() as connection:
        connection.sendall(
            f"GET /v1/realtime HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"{CONSUMER}: alice\r\nCookie: a=1; {COOKIE}={forge('alpha')}\r\n\r\n".encode()
        )
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            pass
    assert received.startswith(b"HTTP/1.1 101"), received
    assert b"x-account: nobody" not in received
    assert g.upstream.last().values("cookie") == [b"a=1"]
