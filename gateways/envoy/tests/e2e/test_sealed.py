"""Sealed ids: sessions that keep nothing but the ids that they were given."""

import json
import re

import pytest
import stack
import tokenpin_twin as twin
from gateway import ACCOUNTS, COOKIE_KEYS, SESSION, client, encoded, forge, settings, tokens
from provider import JSON, Provider
from upstream import answering, reply

RING = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
SEALED = re.compile(r"[a-z]+[_-][A-Za-z0-9_-]+tp[012]")


def sealed(native, account, scope=b"", owner=b"", ring=RING):
    """The id as the filter would seal it."""
    pin = twin.identity_hash(account.encode())
    return twin.seal_id(ring, scope, owner, native.encode(), pin).decode()


def opened(text, scope=b"", owner=b"", ring=RING):
    """The native id, and the account that it names."""
    verdict, native, pin = twin.open_id(ring, scope, owner, text.encode())
    assert verdict == "sealed", (verdict, text)
    accounts = {twin.identity_hash(account.encode()): account for account in ACCOUNTS}
    return native.decode(), accounts[pin]


def posted(g, body, path="/v1/responses", **options):
    headers = [JSON, *options.pop("headers", [])]
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return g.send("POST", path, body=text, headers=headers, **options)


def ids_in(answer):
    """All ids in an answer, of a stream or not."""
    return SEALED.findall(answer.body.decode())


@pytest.fixture
def sealing(gateway):
    """Starts a gateway that seals, with a provider behind it."""

    def start(mode="seal", provider=None, routes=None, environment=None, manager=None, **fields):
        g = gateway(
            settings(sealed_ids=mode, **fields),
            routes=routes,
            environment=environment,
            **(manager or {}),
        )
        g.upstream.answer = g.provider = provider or Provider()
        return g

    return start


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "events"])
def test_chains_without_a_cookie(sealing, stream, http2):
    """Each follow-up goes where the first one went, and each client sees one id for an object."""
    g = sealing()
    accounts = set()
    for _ in range(40):
        first = posted(g, {"input": "Hello.", "stream": stream}, http2=http2)
        assert first.status == 200 and first.decision["outcome"] == "placed"
        id, account = ids_in(first)[0], first.account
        accounts.add(account)
        native, of = opened(id)
        assert of == account and g.provider.accounts[native] == account
        for _ in range(3):
            asked = {"previous_response_id": id, "stream": stream}
            next_ = posted(g, asked, http2=http2)
            assert (next_.status, next_.account) == (200, account)
            assert next_.decision["source"] == "id" and next_.decision["id_verdict"] == "sealed"
            new = ids_in(next_)
            assert id in new, "the id that the client knows is not in the answer"
            id = new[0]
        read = g.send("GET", f"/v1/responses/{id}", http2=http2)
        assert (read.status, read.account) == (200, account)
        assert json.loads(read.body) == {"id": id}
    assert accounts == set(ACCOUNTS)


@pytest.mark.smoke
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 61, 64, 100, None])
def test_streams_cut_anywhere(sealing, cut):
    g = sealing(provider=Provider(cut))
    for http2 in (False, True):
        answer = posted(g, {"input": "x", "stream": True}, http2=http2)
        assert answer.account is not None
        native = answer.body.decode()
        for id in set(ids_in(answer)):
            native = native.replace(id, opened(id)[0])
            assert opened(id)[1] == answer.account
        # Nothing else is different.
        (provided,) = g.upstream.requests[-1:]
        made = [id for id, of in g.provider.accounts.items() if id in native]
        assert len(made) == 2 and len(set(ids_in(answer))) == 2, native
        assert native.startswith("event: response.created\ndata: {") and native.endswith("}\n\n")
        assert native.count("\n\n") == 7 and not ids_in(type(answer)(200, [], native.encode()))


# ---- Requests ------------------------------------------------------------------------


def chunked(parts, trailers=b""):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return framed + b"0\r\n" + trailers + b"\r\n"


def raw_request(body, *headers, path="/v1/responses", method="POST"):
    head = [f"{method} {path} HTTP/1.1", "host: g", "content-type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


NATIVE = "resp_" + "0123456789abcdef" * 3
OTHER = "file-AbCdEfGhIjKlMnOpQrStUv"


def bodies_of(id):
    """Bodies that name a response, in the ways in which JSON can be written."""
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
    for path, native in {
        f"/v1/responses/{id}": f"/v1/responses/{NATIVE}",
        f"/v1/responses/{id}/input_items?after={sealed(OTHER, 'bravo')}&limit=2": f"/v1/responses/{NATIVE}/input_items?after={OTHER}&limit=2",
        f"/v1/files?after={sealed(OTHER, 'bravo')}": f"/v1/files?after={OTHER}",
        f"/v1/responses/%72{id[1:]}": f"/v1/responses/{NATIVE}",
    }.items():
        for method in ("GET", "POST", "DELETE"):
            body = b"{}" if method == "POST" else None
            answer = g.send(method, path, body=body, headers=[JSON])
            assert answer.account == "bravo", (method, path)
            assert g.upstream.last().target == native


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


# ---- Limits --------------------------------------------------------------------------


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


def test_a_body_over_the_limit_of_envoy(sealing):
    """Envoy's own is 1 MiB over HTTP/1.1: the filter raises it as far as the body needs."""
    g = sealing()
    body = b'{"input":"' + b"x" * (5 << 20) + b'"}'
    for content in (body, iter([body[: 2 << 20], body[2 << 20 :]])):
        with client() as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
        assert answer.status_code == 200 and g.upstream.last().body == body


def test_all_bodies_together(sealing):
    g = sealing(max_held_bodies=100000)
    with g.connect() as first, g.counting() as rose:
        first.sendall(raw_request(b"x" * 60000, "content-length: 70000"))
        stack.wait_for("it being read", lambda: g.envoy.stat("http.gateway.downstream_cx_rx_bytes_buffered") >= 0)
        answer = posted(g, b'{"input":"' + b"x" * 50000 + b'"}')
        assert answer.status == 503 and answer.value("retry-after") == "1"
        assert json.loads(answer.body)["error"]["code"] == "too_many_bodies"
    assert rose["bodies_too_many"] == 1
    stack.wait_for("room", lambda: posted(g, b'{"input":"' + b"x" * 50000 + b'"}').status == 200)


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["off", "open", "seal", "strict"])
def test_bodies_that_cannot_be_read(sealing, mode):
    g = sealing(mode)
    cases = [
        # Content type, content encoding, body, path; the modes that refuse it, and with what.
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
@pytest.mark.parametrize("refuse", [False, True])
def test_websockets(sealing, mode, refuse):
    g = sealing(
        mode, refuse_upgrades=refuse, manager={"upgrade_configs": [{"upgrade_type": "websocket"}]}
    )
    switch = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    for path in ("/v1/responses", "/v1/realtime", "/v1/realtime/calls"):
        g.upstream.script = [lambda request: iter([switch])]
        head = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        with g.connect() as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: g\r\n{head}\r\n".encode())
            received = connection.recv(65536)
            if received.startswith(b"HTTP/1.1 426"):
                assert connection.recv(65536) == b"", "the connection stays, whatever is sent on it"
        refused = path == "/v1/responses" and (
            mode in ("seal", "strict") or (mode == "open" and refuse)
        )
        assert received.startswith(b"HTTP/1.1 426" if refused else b"HTTP/1.1 101"), (path, received)
        if refused:
            assert re.search(rb"(?im)^upgrade: HTTP/1.1\r$", received), received
