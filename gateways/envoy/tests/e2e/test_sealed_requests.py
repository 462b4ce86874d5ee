"""Sealed ids in requests: bodies, paths and queries, and what is too much or cannot be read."""

import json
import re

import httpx2
import pytest
import stack
from provider import JSON
from upstream import reply

from gateway import client, encoded
from ids import HANDSHAKE, NATIVE, OTHER, SEALED, chunked, opened, posted, raw_request, sealed


def bodies_of(id):
    """Bodies that name a response, in different forms of JSON."""
    image = "data:image/png;base64," + "iVBORw0KGgo" * 1400000
    escaped = "".join(f"\\u{ord(c):04x}" for c in "previous_response_id")
    return {
        "plain": f'{{"previous_response_id":"{id}"}}',
        "blanks": f' {{ "previous_response_id"\n\t: "{id}" , "input": "x" }} ',
        "behind an image": f'{{"input":[{{"image_url":"{image}"}}],"previous_response_id":"{id}"}}',
        "an escaped key": f'{{"{escaped}":"{id}","input":"x"}}',
        "an escaped id": f'{{"previous_response_id":"\\u{ord(id[0]):04x}{id[1:]}"}}',
        "twice": f'{{"previous_response_id":"{id}","previous_response_id":"{id}"}}',
        "in text too": f'{{"input":"{id}","previous_response_id":"{id}"}}',
    }


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("name", bodies_of(""" """))
def test_ids_in_bodies(sealing, name, http2):
    g = sealing()
    g.provider.accounts[NATIVE] = "bravo"
    asked, expected = (bodies_of(id)[name] for id in (sealed(NATIVE, "bravo"), NATIVE))
    expected = expected.replace(f'"input":"{NATIVE}"', f'"input":"{sealed(NATIVE, "bravo")}"')
    answer = posted(g, asked.encode(), http2=http2)
    assert (answer.status, answer.account) == (200, "bravo"), answer.body[:200]
    got = g.upstream.last()
    if name == "an escaped id":
        assert json.loads(got.body) == {"previous_response_id": NATIVE}
    else:
        assert got.body == expected.encode()
    assert int(got.value("content-length")) == len(got.body)


@pytest.mark.parametrize("size", [1, 2, 5, 33, 1000, 10**6])
@pytest.mark.parametrize("trailers", [b"", b"x-checked: 1\r\n"], ids=["end", "trailers"])
def test_chunked_bodies(sealing, size, trailers):
    g = sealing(manager={"http_protocol_options": {"enable_trailers": True}})
    g.provider.accounts[NATIVE] = "charlie"
    body = json.dumps(
        {"input": "x" * 500, "previous_response_id": sealed(NATIVE, "charlie"), "more": ["y"] * 9}
    ).encode()
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    data = raw_request(chunked(parts, trailers), "transfer-encoding: chunked")
    answer = g.raw(data)
    assert (answer.status, answer.account) == (200, "charlie")
    assert g.upstream.last().body == body.replace(sealed(NATIVE, "charlie").encode(), NATIVE.encode())


def test_a_client_that_waits_before_it_sends_its_body(sealing):
    g = sealing()
    g.provider.accounts[NATIVE] = "alpha"
    body = json.dumps({"previous_response_id": sealed(NATIVE, "alpha")}).encode()
    head = raw_request(b"", "expect: 100-continue", f"content-length: {len(body)}")
    with g.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        received = b""
        while b"x-account" not in received:
            received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 200") and b"x-account: alpha" in received


@pytest.mark.smoke
def test_ids_in_paths_and_queries(sealing):
    g = sealing()
    g.provider.accounts |= {NATIVE: "bravo", OTHER: "bravo"}
    id = sealed(NATIVE, "bravo")
    other = sealed(OTHER, "bravo")
    items = "/v1/responses/{}/input_items?after={}&limit=2"
    for path, native in {
        f"/v1/responses/{id}": f"/v1/responses/{NATIVE}",
        items.format(id, other): items.format(NATIVE, OTHER),
        f"/v1/files?after={other}": f"/v1/files?after={OTHER}",
        f"/v1/responses/%72{id[1:]}": f"/v1/responses/{NATIVE}",
    }.items():
        for method in ("GET", "POST", "DELETE"):
            body = b"{}" if method == "POST" else None
            answer = g.send(method, path, body=body, headers=[JSON])
            assert answer.account == "bravo", (method, path)
            assert g.upstream.last().target == native


@pytest.mark.parametrize("mode", ["seal", "strict"])
def test_requests_whose_body_is_empty(sealing, mode):
    """The headers show an empty body, or only the frames behind them do."""
    g = sealing(mode)
    g.provider.accounts[NATIVE] = "bravo"
    path = f"/v1/responses/{sealed(NATIVE, 'bravo')}/cancel"
    for method in ("POST", "DELETE"):
        for http2 in (False, True):
            answer = g.send(method, path, body=b"", http2=http2)
            assert (answer.status, answer.account) == (200, "bravo"), (method, http2)
        data = raw_request(chunked([]), "transfer-encoding: chunked", path=path, method=method)
        answer = g.raw(data)
        assert (answer.status, answer.account) == (200, "bravo"), method


@pytest.mark.smoke
def test_uploads_are_not_held(sealing):
    """The upstream gets the first part before the client has sent the second."""
    g = sealing()
    seen = []
    read = type(g.upstream).read

    def spied(self, stream):
        head = stream.peek(1)
        seen.append(head)
        return read(self, stream)

    g.upstream.read = spied.__get__(g.upstream)
    head = "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-length: 2000\r\n"
    with g.connect() as connection:
        connection.sendall(f"{head}content-type: multipart/form-data; boundary=x\r\n\r\n".encode())
        connection.sendall(b"a" * 1000)
        stack.wait_for("the upstream being asked", lambda: seen)
        connection.sendall(b"b" * 1000)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 200")
    assert g.upstream.last().body == b"a" * 1000 + b"b" * 1000
    id = SEALED.search(received.decode())[0]
    assert g.provider.accounts[opened(id)[0]] == opened(id)[1]


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_bodies_that_are_too_large(sealing, length, http2):
    g = sealing(max_body=100000)
    for size, status in [(99000, 200), (100000, 200), (100001, 413), (150000, 413)]:
        body = b'{"input":"' + b"x" * (size - 12) + b'"}'
        content = body if length else iter([body[:50], body[50:99999], body[99999:]])
        with g.counting() as rose, client(http2) as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
        assert answer.status_code == status, size
        assert rose.get("bodies_too_large", 0) == (status == 413)
        if status == 413:
            error = answer.json()["error"]
            assert error["code"] == "request_too_large" and error["type"] == "invalid_request_error"
        else:
            assert g.upstream.last().body == body


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_body_without_an_end(sealing, http2):
    """The answer comes during the body. The client may be cut off, and others are still served."""
    g = sealing(max_body=100000)
    for _ in range(3):
        with g.counting() as rose, client(http2) as own:
            parts = (b"x" * 30000 for _ in range(200))
            try:
                answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=parts)
                assert answer.status_code == 413
            except httpx2.TransportError:
                pass
        assert rose["bodies_too_large"] == 1
        assert not g.upstream.requests
    assert posted(g, {"input": "x"}, http2=http2).status == 200
    stack.wait_for("the streams being freed", lambda: g.envoy.stat("http.gateway.downstream_rq_active") == 0)


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_body_over_the_limit_of_envoy(sealing, http2):
    """Envoy's limit is 1 MiB over HTTP/1.1 and 16 over HTTP/2. The filter raises it as needed."""
    g = sealing()
    body = b'{"input":"' + b"x" * (20 << 20) + b'"}'
    for content in (body, iter([body[: 2 << 20], body[2 << 20 :]])):
        with client(http2) as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
        assert answer.status_code == 200 and g.upstream.last().body == body


def test_all_bodies_together(sealing):
    g = sealing(max_held_bodies=100000)
    with g.connect() as first, g.counting() as rose:
        first.sendall(raw_request(b"x" * 60000, "content-length: 70000"))
        stack.wait_for(
            "it being read",
            lambda: g.envoy.stat("http.gateway.downstream_cx_rx_bytes_total") >= 60000,
        )
        # With proxy-wasm each worker counts separately: try until one has the first's worker.
        for _ in range(32 if stack.WASM else 1):
            with client() as own:
                answer = posted(g, b'{"input":"' + b"x" * 50000 + b'"}', via=own)
            if answer.status != 200:
                break
        assert answer.status == 503 and answer.value("retry-after") == "1"
        assert json.loads(answer.body)["error"]["code"] == "too_many_bodies"
    assert rose["bodies_too_many"] == 1
    stack.wait_for("room", lambda: posted(g, b'{"input":"' + b"x" * 50000 + b'"}').status == 200)


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["off", "open", "seal", "strict"])
def test_bodies_that_cannot_be_read(sealing, mode):
    g = sealing(mode)
    cases = [
        # Content type, content encoding, body, path; the modes that refuse it, and the code.
        ("application/json", "gzip", b"\x1f\x8b", "/v1/responses", ["seal", "strict"], 415),
        ("application/json", "identity", b"{}", "/v1/responses", [], 0),
        ("application/json; charset=utf-8", None, b"{}", "/v1/responses", [], 0),
        ("application/vnd.api+json", None, b"{}", "/v1/responses", [], 0),
        (None, None, b"{}", "/v1/responses", [], 0),
        ("text/plain", None, b"{}", "/v1/responses", ["strict"], 415),
        ("multipart/form-data; boundary=x", None, b"--x--", "/v1/responses", ["strict"], 415),
        ("multipart/form-data; boundary=x", None, b"--x--", "/v1/files", [], 0),
        ("multipart/form-data; boundary=x", "gzip", b"--x--", "/v1/files", [], 0),
        ("application/json", None, b'{"a":1} {}', "/v1/responses", ["strict"], 400),
        ("application/json", None, b'{"a":"\xff"}', "/v1/responses", ["strict"], 400),
        ("application/json", None, b'{"a":"\xed\xa0\x80"}', "/v1/responses", ["strict"], 400),
        ("application/json", None, b'{"a":"\xc3\xa4\xf0\x9f\x98\x80"}', "/v1/responses", [], 0),
        ("text/plain", "gzip", b"x", "/v1/models", [], 0),
    ]
    g.upstream.answer = reply
    for type, encoding, body, path, refusing, status in cases:
        headers = [("content-type", type)] if type else []
        headers += [("content-encoding", encoding)] if encoding else []
        answer = g.send("POST", path, headers=headers, body=body)
        what = (mode, type, encoding, body)
        assert answer.status == (status if mode in refusing else 200), what
        if answer.status == 200:
            assert g.upstream.last().body == body
            continue
        assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
        assert answer.value("accept-encoding") == ("identity" if encoding else None), what


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["off", "open", "seal", "strict"])
@pytest.mark.parametrize("refuse", [False, True], ids=["", "refuse"])
@pytest.mark.parametrize("taken", [False, True], ids=["not taken", "taken"])
def test_websockets(sealing, mode, refuse, taken):
    """Also on a listener without upgrades: Envoy's own 403 becomes a 426."""
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]} if taken else {}
    g = sealing(mode, refuse_upgrades=refuse, manager=manager)
    switch = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    for path in ("/v1/responses", "/v1/realtime", "/v1/realtime/calls", "/v1/chat/completions"):
        g.upstream.script = [lambda request: iter([switch])]
        with g.connect() as connection, g.counting() as rose:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: g\r\n{HANDSHAKE}\r\n".encode())
            received = connection.recv(65536)
            refused = path == "/v1/responses" and (mode in ("seal", "strict") or (mode == "open" and refuse))
            status = b"426" if refused else b"101" if taken else b"403"
            assert received.startswith(b"HTTP/1.1 " + status), (path, received)
            if refused:
                assert re.search(rb"(?im)^upgrade: HTTP/1.1\r$", received), received
                assert connection.recv(65536) == b"", "the connection is still open"
        assert rose.get("upgrades_refused", 0) == refused


def test_a_websocket_over_http2(sealing):
    manager = {
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http2_protocol_options": {"allow_connect": True},
    }
    g = sealing(manager=manager)
    extended = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/v1/responses")]
    # The end of the body ends the answer: otherwise the client would continue.
    (answer,) = g.multiplex(extended, body=b"x")
    assert answer.status == 426 and answer.values("upgrade") == [], answer
    assert json.loads(answer.body)["error"]["code"] == "websocket_not_supported"
