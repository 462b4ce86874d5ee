"""Sealed ids: sessions that keep only their ids."""

import json
import re
from pathlib import Path

import httpx2
import pytest
import stack
import tokenpin_twin as twin
from gateway import ACCOUNTS, COOKIE_KEYS, client, encoded, forge, settings, tokens
from ids import NATIVE, OTHER, RING, SEALED, chunked, ids_in, opened, posted, raw_request, sealed
from provider import JSON, Provider
from upstream import answering, reply


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


HANDSHAKE = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"


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


# ---- Refusals ------------------------------------------------------------------------

ANTHROPIC = ("anthropic-version", "2023-06-01")
GONE = sealed(NATIVE, "nobody")
FORGED = sealed(NATIVE, "alpha", ring=[twin.RingKey(1, bytes(15) + b"\1", twin.SIGN)])
UNKNOWN = sealed(NATIVE, "alpha", ring=[twin.RingKey(9, COOKIE_KEYS[1], twin.SIGN)])
LATER = "resp_" + "A" * 56 + "tp7"


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
def test_what_cannot_be_found_is_refused_alike(sealing, path):
    """Only the counters show whether there is such an account."""
    g = sealing("strict")
    names = {"gone": GONE, "bad_seal": FORGED, "unknown_key": UNKNOWN, "unknown_version": LATER}
    names["plain"] = NATIVE
    answers = {}
    for why, id in names.items():
        for where in ("path", "previous_response_id", "file_id", "encrypted_content"):
            if where == "encrypted_content" and why != "gone":
                continue
            with g.counting() as rose:
                if where == "path":
                    asked = f"{path}/batches/{id}" if "messages" in path else f"{path}/{id}"
                    answer = g.send("GET", asked, headers=[ANTHROPIC])
                else:
                    id = marked("gAAAAABoQUJD", "nobody") if where == "encrypted_content" else id
                    body = {"input": [{"type": "message", where: id}]}
                    if where == "previous_response_id":
                        body = {where: id}
                    answer = posted(g, body, path=path)
            assert rose["outcome_rejected"] == 1 and not g.upstream.requests, (why, where)
            verdict = "sealed" if why == "gone" else why
            assert rose[f"id_verdict_{verdict}"] == 1
            assert rose["pin_state_gone" if why == "gone" else "pin_state_none"] == 1
            text = answer.body.decode().replace(id, "ID")
            told = (answer.status, text, answer.values("retry-after"))
            assert answers.setdefault(where, told) == told, why
    status, body, _ = answers["path"]
    assert status == 404
    assert json.loads(body) == {
        "type": "error",
        "error": {
            "type": "not_found_error",
            "message": "The object 'ID' named by 'path' was not found.",
        },
    }
    status, body, _ = answers["previous_response_id"]
    assert status == 400
    assert json.loads(body)["error"] == {
        "message": "The previous response 'ID' was not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    assert answers["file_id"][0] == 404
    assert json.loads(answers["file_id"][1])["error"]["param"] == "file_id"
    status, body, _ = answers["encrypted_content"]
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_encrypted_content")


def rows_of_the_page():
    """The rows of the page's table of refusals for ids, by code."""
    page = (Path(__file__).parents[4] / "docs" / "guides" / "embedding.md").read_text(encoding="utf-8")
    section = page.split("\n## Refusals for ids\n")[1].split("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in section.splitlines() if row.startswith("| ")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows if "---" not in row[0]]
    return {code: (int(status), param, text) for _, status, code, param, text in cells[1:]}


LONG = "resp_" + "A" * 57 + "tp7"
SHORT = sealed("resp_1", "nobody")
FILE = sealed("file-1", "alpha")
ENCRYPTED = {"input": [{"type": "reasoning", "encrypted_content": "gAAAAABo%stp0" % ("A" * 23)}]}
# Code, keys, and the id that is quoted; then path and body.
REFUSED = [
    (
        "previous_response_not_found",
        ["previous_response_id"],
        SHORT,
        "/v1/responses",
        json.dumps({"previous_response_id": SHORT}).replace("resp_", "r\\u0065sp_"),
    ),
    ("previous_response_not_found", ["previous_response_id"], "", "/v1/responses", {"previous_response_id": LONG}),
    ("invalid_encrypted_content", [], "", "/v1/responses", ENCRYPTED),
    ("not_found", ["path"], SHORT, "/v1/responses/" + SHORT.replace("resp", "r%65sp"), None),
    ("not_found", ["path"], "", "/v1/responses/resp_1%252F%22%0A", None),
    ("not_found", ["after"], SHORT, "/v1/files?after=" + SHORT, None),
    ("not_found", ["file_id"], NATIVE, "/v1/responses", {"input": [{"file_id": NATIVE}]}),
    (
        "conflicting_accounts",
        ["file_id", "container"],
        "",
        "/v1/responses",
        {"file_id": FILE, "container": sealed("cntr_1", "bravo")},
    ),
    ("unreadable_body", [], "", "/v1/responses", b'{"input":"\xff"}'),
    ("unreadable_body", [], "", "/v1/responses", b"{"),
    ("request_too_large", [], "", "/v1/responses", b"{" + b" " * 2000 + b"}"),
    ("too_many_bodies", [], "", "/v1/responses", b"{" + b" " * 800 + b"}"),
    ("unsupported_content_type", [], "", "/v1/responses", ("content-type", "text/plain")),
    ("unsupported_content_encoding", [], "", "/v1/responses", ("content-encoding", "gzip")),
]


@pytest.mark.smoke
def test_refusals_for_ids_are_those_of_the_page(sealing):
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    g = sealing("strict", max_body=1000, max_held_bodies=500, manager=manager)
    rows, seen = rows_of_the_page(), set()

    def check(code, keys, id, status, body, anthropic):
        seen.add(code)
        expected, param, message = rows[code]
        message = message.replace("*id*", f" '{id}'" if id else "")
        for name, key in zip(("key", "second key"), keys, strict=False):
            message = message.replace(f"*{name}*", key)
            param = key if param == name else param
        kind = "gateway_error" if expected == 503 else "invalid_request_error"
        error = {"message": message, "type": kind}
        error |= {"param": None if param == "null" else param, "code": code}
        if anthropic:
            kinds = {404: "not_found_error", 413: "request_too_large", 503: "api_error"}
            kind = kinds.get(expected, "invalid_request_error")
            error = {"type": kind, "message": message}
        assert (status, json.loads(body)["error"]) == (expected, error)

    for anthropic in (False, True):
        more = [ANTHROPIC] if anthropic else []
        for code, keys, id, path, body in REFUSED:
            if body is None:
                answer = g.send("GET", path, headers=more)
            elif isinstance(body, tuple):
                headers = [body] if body[0] == "content-type" else [JSON, body]
                answer = g.send("POST", path, body=b"{}", headers=[*headers, *more])
            else:
                body = body.encode() if isinstance(body, str) else body
                answer = posted(g, body, path=path, headers=more)
            check(code, keys, id, answer.status, answer.body, anthropic)
            assert (answer.value("retry-after") == "1") == (answer.status == 503)
            encoding = code == "unsupported_content_encoding"
            assert (answer.values("accept-encoding") == ["identity"]) == encoding
        lines = "".join(f"{name}: {value}\r\n" for name, value in more)
        with g.connect() as connection:
            request = f"GET /v1/responses HTTP/1.1\r\nhost: g\r\n{lines}{HANDSHAKE}\r\n"
            connection.sendall(request.encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        status, body = received.split(b" ")[1], received.split(b"\r\n\r\n", 1)[1]
        check("websocket_not_supported", [], "", int(status), body, anthropic)
    assert seen == set(rows) and len(rows) == 10
    assert not g.upstream.requests


def marked(content, account):
    pin = twin.identity_hash(account.encode())
    return content + twin.mark_content(RING, b"", b"", content.encode(), pin).decode()


@pytest.mark.smoke
def test_an_account_that_is_down(sealing):
    """No other account answers: it would send 404, or begin again with 200."""
    until = 2**31
    g = sealing(tokens=tokens(bravo={"state": "down", "until": until}))
    id = sealed(NATIVE, "bravo")
    for options in (
        {"method": "GET", "path": f"/v1/responses/{id}"},
        {"method": "POST", "body": json.dumps({"previous_response_id": id}).encode()},
        {"method": "POST", "body": json.dumps({"conversation": {"id": id}}).encode()},
    ):
        for more in ({}, {"consumer": "alice"}, {"cookie": forge("alpha")}):
            answer = g.send(headers=[JSON], **options, **more)
            assert answer.status == 503 and answer.cookie is None
            assert json.loads(answer.body)["error"]["code"] == "session_unavailable"
            assert int(answer.value("retry-after")) > 10000
            assert answer.decision["source"] == "id" and answer.decision["pin_state"] == "down"
    assert not g.upstream.requests
    # Requests without the id are still served.
    assert posted(g, {"input": "x"}).status == 200


def test_two_accounts(sealing):
    g = sealing()
    body = {"previous_response_id": sealed(NATIVE, "alpha"), "file_id": sealed(OTHER, "bravo")}
    answer = posted(g, body)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (400, "conflicting_accounts")
    assert "'previous_response_id'" in error["message"] and "'file_id'" in error["message"]
    assert not g.upstream.requests
    # Items of history from two accounts are no conflict.
    history = [
        {"type": "message", "id": sealed("msg_" + "a" * 48, account), "content": "x"} for account in ("alpha", "bravo")
    ]
    answer = posted(g, {"input": history})
    assert (answer.status, answer.account) == (200, "bravo")
    assert b"tp1" not in g.upstream.last().body


# ---- Responses -----------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_headers_of_a_sealed_response(sealing, method, http2):
    g = sealing()
    body = json.dumps({"id": NATIVE}).encode()
    headers = [
        JSON,
        ("etag", '"strong"'),
        ("accept-ranges", "bytes"),
        ("content-md5", "x"),
        ("digest", "sha-256=x"),
        ("content-digest", "sha-256=:x:"),
        ("repr-digest", "sha-256=:x:"),
        ("location", f"/v1/responses/{NATIVE}"),
        ("content-location", f"https://api.example/v1/files/{OTHER}?after={NATIVE}"),
        ("operation-location", "/v1/other/x"),
        ("x-kept", NATIVE),
        ("content-length", str(len(body))),
    ]
    sent = b"" if method == "HEAD" else body
    g.upstream.answer = lambda request: reply(request, 200, headers, sent, length=False)
    answer = g.send(method, headers=[("accept-encoding", "gzip, br")], http2=http2)
    account = answer.account
    assert g.upstream.last().value("accept-encoding") == b"identity"
    gone = ["content-length", "etag", "accept-ranges", "content-md5", "digest", "content-digest"]
    assert [answer.values(name) for name in [*gone, "repr-digest"]] == [[]] * 7
    if method == "HEAD":
        assert answer.body == b"" and g.send(method, http2=http2).status == 200
        return
    assert json.loads(answer.body) == {"id": sealed(NATIVE, account)}
    assert answer.value("location") == f"/v1/responses/{sealed(NATIVE, account)}"
    assert answer.value("content-location") == f"https://api.example/v1/files/{OTHER}?after={NATIVE}"
    assert answer.value("operation-location") == "/v1/other/x" and answer.value("x-kept") == NATIVE


@pytest.mark.smoke
def test_what_is_not_sealed(sealing):
    """Bodies that are neither JSON nor events, files, parts of files, and empty bodies."""
    g = sealing()
    body = json.dumps({"id": NATIVE}).encode()
    marks = [("etag", '"x"'), ("accept-ranges", "bytes")]
    octets = ("content-type", "application/octet-stream")
    cases = [
        ("/v1/files/f/content", 200, [JSON], body),
        ("/v1/files/f/content/?x=1", 200, [JSON], body),
        ("/v1/messages/batches/b/results", 200, [JSON], body),
        ("/v1/responses", 206, [JSON, ("content-range", "bytes 0-9/99")], body),
        ("/v1/responses", 200, [octets], body),
        ("/v1/responses", 200, [("content-type", "text/html")], body),
        ("/v1/responses", 200, [("content-type", "application/jsonl")], body),
        ("/v1/models", 200, [JSON], body),
        ("/v1/chat/completions", 200, [JSON], body),
        ("/v1/responses", 304, marks, b""),
    ]
    for path, status, headers, text in cases:
        g.upstream.answer = answering(status, [*headers, *(marks if status != 304 else [])], text)
        answer = g.send("GET", path, headers=[("accept-encoding", "gzip")])
        what = (path, status, headers)
        asked = g.upstream.last().value("accept-encoding")
        assert asked == (b"identity" if path == "/v1/responses" else b"gzip"), what
        assert (answer.status, answer.body) == (status, text), what
        assert answer.value("etag") == '"x"' and answer.value("accept-ranges") == "bytes", what
        if status != 304:
            assert answer.value("content-length") == str(len(text)), what
    g.upstream.answer = lambda request: reply(request, 204, marks, b"", length=False)
    answer = g.send("GET")
    assert answer.status == 204 and answer.value("etag") == '"x"'
    # Compressed although the request did not accept it.
    g.upstream.answer = answering(200, [JSON, ("content-encoding", "x-y")], b"\x1f\x8b")
    with g.counting() as rose:
        assert g.send("GET").body == b"\x1f\x8b"
    assert rose["bodies_not_sealed"] == 1


@pytest.mark.smoke
def test_errors_and_weak_etags(sealing):
    g = sealing()
    body = json.dumps({"id": NATIVE, "error": {"message": NATIVE}}).encode()
    for status in (200, 201, 400, 404, 500):
        g.upstream.answer = answering(status, [JSON, ("etag", 'W/"weak"')], body)
        answer = g.send(cookie=forge("alpha"))
        # Values below `error` are text.
        expected = body.replace(NATIVE.encode(), sealed(NATIVE, "alpha").encode(), 1)
        assert (answer.status, answer.body) == (status, expected)
        assert answer.value("etag") == 'W/"weak"'


def test_locations(sealing):
    """Locations at the upstream lead to the gateway. Locations of other hosts stay unchanged."""
    rewritten = {"cluster": "upstream", "host_rewrite_literal": "api.example"}
    g = sealing(routes=[{"match": {"prefix": "/"}, "route": rewritten}])
    id = f"/v1/files/{OTHER}"
    for location, expected in {
        id: "/v1/files/{}",
        f"..{id}?after={OTHER}": "../v1/files/{0}?after={0}",
        f"https://api.example{id}": g.url + "/v1/files/{}",
        f"HTTP://API.example{id}#x": g.url + "/v1/files/{}#x",
        f"https://api.example:444{id}": None,
        f"https://blobs.example{id}?sig=x": None,
        f"//api.example{id}": None,
        "https://api.example": g.url,
        "/v1/files/x?next=https://api.example/v1/files": None,
        f"/v1/models/{OTHER}": None,
    }.items():
        g.upstream.answer = answering(201, [JSON, ("location", location)])
        answer = posted(g, {})
        sealed_ = expected and expected.format(sealed(OTHER, answer.account))
        assert answer.value("location") == (sealed_ or location)


def test_urls_lead_to_the_gateway(sealing):
    """A client requests the URL of a batch's results unchanged."""
    g = sealing(
        routes=[
            {
                "match": {"prefix": "/"},
                "route": {"cluster": "upstream", "host_rewrite_literal": "api.anthropic.com"},
            }
        ]
    )
    batch = "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d"
    body = {
        "id": batch,
        "results_url": f"https://api.anthropic.com/v1/messages/batches/{batch}/results",
    }
    g.upstream.answer = answering(200, [JSON], json.dumps(body).encode())
    answer = g.send("GET", "/v1/messages/batches", headers=[ANTHROPIC])
    got = json.loads(answer.body)
    assert got["id"] == sealed(batch, answer.account)
    assert got["results_url"] == f"{g.url}/v1/messages/batches/{got['id']}/results"
    read = g.send("GET", got["results_url"][len(g.url) :])
    assert read.account == answer.account


# ---- Modes, routes, owners, keys ---------------------------------------------------------


@pytest.mark.smoke
def test_off_only_looks(sealing):
    """A request that names old state is recognised, so that it never moves its session."""
    g = sealing("off", tokens=tokens(alpha={"state": "down"}))
    g.upstream.answer = answering(200, [JSON], json.dumps({"id": NATIVE}).encode())
    cookie = forge("alpha")
    new = posted(g, {"input": "x"}, cookie=cookie)
    assert new.status == 200 and new.outcome == "repinned" and new.cookie
    assert json.loads(new.body) == {"id": NATIVE}
    for body in (
        {"previous_response_id": NATIVE},
        {"previous_response_id": sealed(NATIVE, "bravo")},
        {"conversation": {"id": "conv_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"tools": [{"vector_store_ids": ["vs_1"]}]},
    ):
        before = len(g.upstream.requests)
        old = posted(g, body, cookie=cookie)
        assert (old.status, old.outcome) == (503, "rejected"), body
        assert len(g.upstream.requests) == before
    # Without reading bodies, the filter finds no state.
    g.update(settings(sealed_ids="off", bodies=False, tokens=tokens(alpha={"state": "down"})))
    blind = posted(g, {"previous_response_id": NATIVE}, cookie=cookie)
    assert (blind.status, blind.outcome) == (200, "repinned")


@pytest.mark.smoke
def test_open_only_seals_what_came_sealed(sealing):
    g = sealing("open")
    g.provider.accounts[NATIVE] = "bravo"
    first = posted(g, {"input": "x"})
    assert not ids_in(first) and first.value("content-length")
    assert g.upstream.last().value("accept-encoding") != b"identity"
    id = sealed(NATIVE, "bravo")
    next_ = posted(g, {"previous_response_id": id})
    assert (next_.status, next_.account) == (200, "bravo")
    assert json.loads(next_.body)["previous_response_id"] == id
    assert not SEALED.fullmatch(json.loads(next_.body)["id"])
    # An id with a foreign seal is a plain id here.
    posted(g, {"previous_response_id": FORGED})
    assert json.loads(g.upstream.last().body) == {"previous_response_id": FORGED}
    g.update(settings(sealed_ids="open", foreign_seals="refuse"))
    assert posted(g, {"previous_response_id": FORGED}).status == 400


def test_plain_ids_come_back_plain(sealing):
    """The client gets the ids that it knows, also in the mode that seals."""
    g = sealing()
    for account in ACCOUNTS:
        g.provider.accounts[NATIVE] = account
        answer = posted(g, {"previous_response_id": NATIVE}, cookie=forge(account))
        got = json.loads(answer.body)
        assert got["previous_response_id"] == NATIVE and opened(got["id"])[1] == account


@pytest.mark.smoke
def test_routes(sealing):
    modes = ["off", "open", "seal", "strict"]
    routes = [
        {
            "match": {"prefix": f"/{mode}/"},
            "route": {"cluster": "upstream", "prefix_rewrite": "/"},
            "typed_per_filter_config": stack.module_route({"sealed_ids": mode}),
        }
        for mode in modes
    ]
    g = sealing("seal", routes=routes)
    for mode in modes:
        first = posted(g, {"input": "x"}, path=f"/{mode}/v1/responses")
        assert bool(ids_in(first)) == (mode in ("seal", "strict")), mode
        g.provider.accounts[NATIVE] = "charlie"
        id = sealed(NATIVE, "charlie")
        read = g.send("GET", f"/{mode}/v1/responses/{id}")
        assert g.upstream.last().target == f"/v1/responses/{id if mode == 'off' else NATIVE}"
        if mode != "off":
            assert (read.account, json.loads(read.body)) == ("charlie", {"id": id})
        plain = posted(g, {"previous_response_id": NATIVE}, path=f"/{mode}/v1/responses")
        assert (plain.status == 400) == (mode == "strict"), mode


@pytest.mark.smoke
def test_owners(sealing):
    g = sealing(id_owner="consumer", scope="s")
    owner = {"scope": b"s", "owner": b"alice"}
    first = posted(g, {"input": "x"}, consumer="alice")
    id = ids_in(first)[0]
    assert opened(id, **owner) == (list(g.provider.accounts)[0], first.account)
    for consumer, status in (("alice", 200), ("bob", 400), (None, 400)):
        answer = posted(g, {"previous_response_id": id}, consumer=consumer)
        assert answer.status == status, consumer
    nobodys = ids_in(posted(g, {"input": "x"}))[0]
    assert opened(nobodys, scope=b"s")
    assert posted(g, {"previous_response_id": nobodys}, consumer="alice").status == 400


def test_scopes(sealing):
    """An id sealed in the scope of one route or tenant is invalid in another."""
    routes = [
        {
            "match": {"prefix": "/other/"},
            "route": {"cluster": "upstream", "prefix_rewrite": "/"},
            "typed_per_filter_config": stack.module_route({"scope": "other"}),
        }
    ]
    g = sealing(routes=routes, scope="s", tenant={"header": "x-tenant"})
    places = {}
    for prefix, name in (("", b"s"), ("/other", b"other")):
        for tenant in (None, "a", "b"):
            scope = name + (b"\0" + tenant.encode() if tenant else b"")
            places[scope] = f"{prefix}/v1/responses", [("x-tenant", tenant)] if tenant else []
    ids = {}
    for scope, (path, headers) in places.items():
        answer = posted(g, {"input": "x"}, path=path, headers=headers)
        (ids[scope],) = ids_in(answer)
        assert opened(ids[scope], scope=scope)[1] == answer.account
    for of, id in ids.items():
        for scope, (path, headers) in places.items():
            answer = posted(g, {"previous_response_id": id}, path=path, headers=headers)
            assert answer.status == (200 if scope == of else 400), (scope, of)


@pytest.mark.smoke
def test_rotation(sealing):
    """Ids that another key has sealed still work, and come back unchanged."""

    def ring(**roles):
        return [{"id": id, "role": role, "key": {"env": f"COOKIE_KEY_{id}"}} for role, id in roles.items()]

    g = sealing(id_keys=ring(sign=1))
    old = ids_in(posted(g, {"input": "x"}))[0]
    g.update(settings(sealed_ids="seal", id_keys=ring(sign=2, accept=1)))
    next_ = posted(g, {"previous_response_id": old})
    got = json.loads(next_.body)
    assert next_.status == 200 and got["previous_response_id"] == old
    both = [twin.RingKey(2, COOKIE_KEYS[2], twin.SIGN)]
    assert opened(got["id"], ring=both)[1] == next_.account
    g.update(settings(sealed_ids="seal", id_keys=ring(sign=2)))
    assert posted(g, {"previous_response_id": old}).status == 400
    assert posted(g, {"previous_response_id": got["id"]}).status == 200


def test_a_reload_while_a_stream_runs(sealing):
    import threading

    g = sealing()
    go_on = threading.Event()

    def events(request):
        head = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
        yield reply(request, 200, head, b"", length=False)
        for _ in range(2):
            part = f'data: {{"id":"{NATIVE}"}}\n\n'.encode()
            # The second one is cut.
            yield b"%x\r\n%s\r\n" % (10, part[:10])
            assert go_on.wait(10)
            yield b"%x\r\n%s\r\n" % (len(part) - 10, part[10:])
        yield b"0\r\n\r\n"

    g.upstream.answer = events
    with client() as own, own.stream("POST", g.url + "/v1/responses", content=b"{}") as response:
        parts = response.iter_raw()
        account = response.headers["x-account"]
        g.update(
            settings(
                sealed_ids="off",
                cookie_keys=[{"id": 2, "role": "sign", "key": {"env": "COOKIE_KEY_2"}}],
            )
        )
        go_on.set()
        text = b"".join(parts).decode()
    assert text == f'data: {{"id":"{sealed(NATIVE, account)}"}}\n\n' * 2


@pytest.mark.smoke
def test_observing_changes_nothing(sealing):
    g = sealing(observe=True, metadata=True)
    seen = json.dumps({"id": NATIVE}).encode()
    g.upstream.answer = answering(200, [JSON, ("etag", '"x"'), ("location", f"/v1/files/{OTHER}")], seen)
    body = json.dumps({"previous_response_id": sealed(NATIVE, "bravo")}).encode()
    with g.counting() as rose:
        answer = posted(g, body, headers=[("accept-encoding", "gzip")])
    assert (answer.status, answer.body) == (200, seen)
    assert answer.value("etag") == '"x"' and answer.value("location") == f"/v1/files/{OTHER}"
    assert answer.value("content-length") == str(len(seen))
    got = g.upstream.last()
    assert got.body == body and got.value("accept-encoding") == b"gzip" and got.account is None
    assert rose["ids_opened"] == 1 and rose["ids_sealed"] == 1 and rose["source_id"] == 1
    # Requests pass that would be refused.
    for headers in ([("content-encoding", "gzip")], []):
        assert posted(g, b'{"previous_response_id":"' + GONE.encode() + b'"}', headers=headers).status == 200


# ---- Retries -------------------------------------------------------------------------

RETRY = {"status": [429], "max": 2}
KEEPS = {
    "match": {"prefix": "/"},
    "route": {
        "cluster": "upstream",
        "retry_policy": {
            "retry_on": "retriable-status-codes",
            "retriable_status_codes": [599],
            "num_retries": 1,
        },
    },
}


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_what_a_named_client_creates_moves_without_a_cookie(sealing, http2):
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[])
    history = [{"type": "message", "id": sealed("msg_" + "b" * 48, "alpha"), "content": "x" * 5000}]
    body = {"input": history, "store": False}
    for number in range(10):
        g.upstream.script = [answering(429)]
        answer = posted(g, body, session=f"s{number}", http2=http2)
        assert answer.status == 200 and answer.outcome == "retried" and answer.cookie is None
        tries = g.upstream.requests[-2:]
        assert tries[0].account != tries[1].account == answer.account
        # The second try has the body of the first.
        assert tries[0].body == tries[1].body
        assert json.loads(tries[0].body)["input"][0]["id"] == "msg_" + "b" * 48
        id = ids_in(answer)[0]
        assert opened(id)[1] == answer.account
        # The home of the session is another account.
        next_ = posted(g, {"previous_response_id": id}, session=f"s{number}", http2=http2)
        assert (next_.status, next_.account) == (200, answer.account)


def test_a_second_try_knows_what_the_first_one_opened(sealing):
    """The body of the second try has native ids, which the client did not send."""
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[])
    item = "msg_" + "b" * 48
    history = [{"type": "message", "id": sealed(item, "alpha"), "content": "x"}]
    body = json.dumps({"first_id": item}).encode()
    g.upstream.script = [answering(429), answering(200, [JSON], body)]
    answer = posted(g, {"input": history, "store": False})
    assert answer.outcome == "retried" and answer.decision["id_verdict"] == "sealed"
    assert json.loads(answer.body) == {"first_id": sealed(item, answer.account)}


@pytest.mark.smoke
def test_a_sealed_request_never_moves(sealing):
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[])
    g.upstream.answer = answering(429, [JSON], json.dumps({"id": NATIVE}).encode())
    for body in (
        {"previous_response_id": sealed(NATIVE, "bravo")},
        {"input": [{"type": "item_reference", "id": sealed("msg_" + "c" * 48, "bravo")}]},
        {"input": [{"type": "message", "id": sealed("msg_" + "c" * 48, "bravo"), "content": ""}]},
    ):
        for more in ({}, {"session": "s"}, {"cookie": forge("alpha")}):
            before = len(g.upstream.requests)
            answer = posted(g, body, **more)
            assert (answer.status, answer.account) == (429, "bravo"), (body, more)
            assert len(g.upstream.requests) == before + 1


def test_an_answer_that_was_held_is_sealed(sealing):
    """No other token could answer instead."""
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[], tokens=tokens("alpha"), mint_single=True)
    text = json.dumps({"id": NATIVE, "more": "x" * 5000}).encode()
    for framing in ("length", "chunked", "trailers"):

        def answer_429(request, framing=framing):
            if framing == "length":
                return reply(request, 429, [JSON], text)
            head = [JSON, ("transfer-encoding", "chunked")]
            return reply(request, 429, head, b"", length=False) + chunked(
                [text[:30], text[30:]], b"x: 1\r\n" if framing == "trailers" else b""
            )

        g.upstream.answer = answer_429
        answer = posted(g, {"input": "x"})
        assert answer.status == 429
        assert json.loads(answer.body) == {"id": sealed(NATIVE, "alpha"), "more": "x" * 5000}


# ---- Others --------------------------------------------------------------------------


def test_encrypted_content(sealing):
    """A mark behind the content names its account, in JSON and in streams."""
    g = sealing()
    content = "gAAAAAB" + "o" * 300 + "=="
    item = {"type": "reasoning", "id": "rs_" + "d" * 48, "encrypted_content": content}
    text = json.dumps({"output": [item]})
    for kind, body in ((JSON, text), (("content-type", "text/event-stream"), f"data: {text}\n\n")):
        g.upstream.answer = answering(200, [kind], body.encode())
        first = posted(g, {"input": "x", "store": False})
        got = json.loads(first.body.decode().removeprefix("data: "))["output"][0]
        assert got["encrypted_content"] == marked(content, first.account)
        for _ in range(3):
            next_ = posted(g, {"input": [got], "store": False})
            assert next_.account == first.account and next_.decision["source"] == "id"
            assert json.loads(g.upstream.last().body)["input"] == [item]
    g.update(settings(sealed_ids="seal", encrypted_content=False))
    assert json.loads(posted(g, {"input": "x"}).body.decode()[6:])["output"][0]["encrypted_content"] == content


def test_messages_with_a_file_and_a_container(sealing):
    g = sealing()
    file, container = "file_011CNha8iCJcU1wXNR6q4V8w", "container_011CPR5CNjB747bTd36fQLFk"
    answer = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "container": {"id": container},
    }
    g.upstream.answer = answering(200, [JSON], json.dumps(answer).encode())
    source = {"type": "document", "source": {"type": "file", "file_id": sealed(file, "bravo")}}
    body = {"model": "m", "messages": [{"role": "user", "content": [source]}]}
    got = posted(g, body, path="/v1/messages", headers=[ANTHROPIC])
    assert got.account == "bravo" and file in g.upstream.last().body.decode()
    assert b"tp0" not in g.upstream.last().body
    told = json.loads(got.body)
    # The id of a message names no state there.
    assert told == {**answer, "container": {"id": sealed(container, "bravo")}}
    again = posted(g, {**body, "container": told["container"]["id"]}, path="/v1/messages")
    assert again.account == "bravo"


def test_two_gateways_in_a_row(gateways):
    """Each gateway opens its own seals. Their keys differ."""

    def ring(number):
        return [{"id": number, "role": "sign", "key": {"env": f"COOKIE_KEY_{number}"}}]

    inner, outer = gateways(), gateways()
    inner.upstream.answer = provider = Provider()
    inner.configure()
    inner.start(settings(sealed_ids="seal", id_keys=ring(2), scope="inner", response_header=None))
    outer.configure(upstream_port=inner.envoy.port)
    tokens = [{"name": name, "headers": [{"name": "x-team", "value": name}]} for name in "xyz"]
    outer.start(settings(sealed_ids="seal", id_keys=ring(1), tokens=tokens))
    for stream in (False, True):
        id = None
        for _ in range(4):
            body = {"stream": stream, **({"previous_response_id": id} if id else {})}
            answer = posted(outer, body)
            assert answer.status == 200, answer
            found = ids_in(answer)
            assert id is None or id in found
            id = found[0]
            native, _ = twin.open_id(RING, b"", b"", id.encode())[1:]
            both = [twin.RingKey(2, COOKIE_KEYS[2], twin.SIGN)]
            assert opened(native.decode(), scope=b"inner", ring=both)[0] in provider.accounts


def test_added_fields_prefixes_collections_and_rules(sealing):
    g = sealing(
        id_fields=[{"name": "thing_id", "kind": "id"}],
        id_prefixes=["thing_"],
        id_collections=["things"],
        rules=[
            {"pattern": "things", "group": "stateful"},
            {"pattern": "echo", "group": "stateless", "ids": "open"},
        ],
    )
    thing = "thing_42"
    g.upstream.answer = answering(200, [JSON], json.dumps({"id": thing, "other_id": thing}).encode())
    for account in ACCOUNTS:
        read = g.send("GET", f"/v1/things/{sealed(thing, account)}")
        assert read.account == account and g.upstream.last().target == f"/v1/things/{thing}"
        assert json.loads(read.body) == {"id": sealed(thing, account), "other_id": thing}
        asked = posted(g, {"thing_id": sealed(thing, account)}, path="/echo")
        assert asked.account == account and json.loads(g.upstream.last().body) == {"thing_id": thing}
        assert json.loads(asked.body)["id"] == thing


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("front", ["observes", "buffers"])
def test_behind_a_filter_that_holds_bodies(gateways, front, http2):
    """The filter in front is ours, observing, or Envoy's buffer."""
    kind = stack.extension("filters.http.buffer.v3.Buffer", max_request_bytes=1 << 24)
    if front == "observes":
        observes = settings(sealed_ids="seal", observe=True, response_header=None)
        kind = stack.module_filter(observes, "tokenpin_next")
    g = gateways()
    g.upstream.answer = provider = Provider()
    manager = {"http_protocol_options": {"enable_trailers": True}}
    g.configure(filters=[{"name": "front", "typed_config": kind}], **manager)
    g.start(settings(sealed_ids="seal"))
    provider.accounts[NATIVE] = "bravo"
    id = sealed(NATIVE, "bravo")
    for size in (1, 1000, 100_000, 3_000_000):
        asked = {"input": "x" * size, "previous_response_id": id, "more": "y" * size}
        answer = posted(g, asked, http2=http2)
        assert (answer.status, answer.account) == (200, "bravo"), size
        assert json.loads(g.upstream.last().body) == {**asked, "previous_response_id": NATIVE}
        assert json.loads(answer.body)["previous_response_id"] == id
        body = json.dumps(asked).encode()
        parts = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
        for trailers in (b"", b"x-checked: 1\r\n"):
            answer = g.raw(raw_request(chunked(parts, trailers), "transfer-encoding: chunked"))
            assert (answer.status, answer.account) == (200, "bravo"), (size, trailers)
            assert json.loads(g.upstream.last().body) == {**asked, "previous_response_id": NATIVE}


@pytest.mark.parametrize("observe", [False, True], ids=["seals", "observes"])
def test_a_body_that_is_not_understood_counts_once(sealing, observe):
    g = sealing(observe=observe)
    answers = {
        "sealed": (reply, 1),
        "not sealed": (answering(200, [("content-type", "text/plain")], b"Hello."), 1),
        "empty": (answering(204, [], b""), 1),
        "not understood either": (answering(200, [JSON], b'{"id":'), 2),
    }
    for name, (answer, count) in answers.items():
        g.upstream.script.append(answer)
        with g.counting() as rose:
            assert g.send(headers=[JSON], body=b'{"input":').status in (200, 204)
        assert rose["bodies_not_understood"] == count, name
        assert "ids_sealed" not in rose
