"""Hidden ids, and bodies that would pass unread: the upstream gets only what the mode allows."""

import json

import h2.config
import h2.connection
import h2.events
import pytest
import stack
import tokenpin_twin as twin
from gateway import client, encoded, route, settings
from ids import NATIVE, RING, chunked, ids_in, posted, raw_request, sealed
from provider import JSON, Provider
from upstream import Upstream, reply

THEIRS = "resp_" + "fedcba9876543210" * 3  # of another account


def escaped(text):
    return "".join(f"\\u{ord(c):04X}" for c in text)


def members(*pairs):
    return "{" + ",".join(f'"{key}":"{value}"' for key, value in pairs) + "}"


# Name: a body that names a response twice, and how the account gets it.
def twice(id, native):
    key = "previous_response_id"
    return {
        "all of it escaped": (members((escaped(key), escaped(id))), {key: native}),
        "plain, then escaped": (members((key, id), (escaped(key), id)), {key: native}),
        "in an item, too": (
            f'{{"input":[{{"type":"item_reference","id":"{id}"}}],"{key}":"{id}"}}',
            {"input": [{"type": "item_reference", "id": native}], key: native},
        ),
        "behind a deep one": (
            '{"input":' + "[" * 300 + f'"{id}"' + "]" * 300 + f',"{key}":"{id}"}}',
            None,
        ),
        "behind 100 000 keys": (
            "{" + ",".join(f'"k{n}":{n}' for n in range(100_000)) + f',"{key}":"{id}"}}',
            None,
        ),
        "behind a byte order mark": ("\ufeff" + members((key, id)), {key: native}),
        "behind 2 MB of blanks": (
            " \n" * (1 << 20) + members((key, id)),
            {key: native},
        ),
    }


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("name", twice("", ""))
def test_an_id_is_opened_wherever_it_stands(sealing, name, http2):
    g = sealing("strict")
    g.upstream.answer = lambda request: g.provider.stream(request, {"id": NATIVE})
    body, expected = twice(sealed(NATIVE, "bravo"), NATIVE)[name]
    answer = posted(g, body.encode(), http2=http2)
    assert (answer.status, answer.account) == (200, "bravo"), answer.body[:200]
    got = g.upstream.last()
    assert int(got.value("content-length")) == len(got.body)
    if expected:
        assert json.loads(got.body.decode("utf-8-sig")) == expected
    assert f'"{NATIVE}"'.encode() in got.body and b"tp1" not in got.body.rpartition(b"]]")[2]


@pytest.mark.parametrize("form", ["plain", "escaped"])
def test_the_same_key_twice(sealing, form):
    """The provider may read either one: both are opened, and two accounts are a conflict."""
    g = sealing()
    g.provider.accounts |= {NATIVE: "bravo", THEIRS: "charlie"}
    key = "previous_response_id"
    other = escaped(key) if form == "escaped" else key
    mine, same, theirs = (sealed(*pair) for pair in [(NATIVE, "bravo"), (THEIRS, "bravo"), (THEIRS, "charlie")])
    g.upstream.script = [lambda request: g.provider.stream(request, {"id": NATIVE})]
    answer = posted(g, members((key, mine), (other, same)).encode())
    assert (answer.status, answer.account) == (200, "bravo")
    assert g.upstream.last().body.decode() == members((key, NATIVE), (other, THEIRS))
    for first, second in ((mine, theirs), (theirs, mine)):
        asked = len(g.upstream.requests)
        answer = posted(g, members((key, first), (other, second)).encode())
        assert answer.status == 400 and len(g.upstream.requests) == asked
        assert json.loads(answer.body)["error"]["code"] == "conflicting_accounts"


@pytest.mark.parametrize("mode", ["seal", "strict"])
def test_a_sealed_id_as_the_whole_prompt(sealing, mode):
    """An id in a prompt is text: it is not opened, and names no account."""
    g = sealing(mode)
    id = sealed(NATIVE, "nobody")
    for body in (
        {"input": id},
        {"input": [{"role": "user", "content": id}]},
        {"instructions": id},
    ):
        answer = posted(g, body)
        assert answer.status == 200 and answer.decision["outcome"] == "placed"
        assert answer.decision["id_verdict"] == "none"
        assert json.loads(g.upstream.last().body) == body


STRICTLY = {
    "a second document": b'{"input":"x"}{"previous_response_id":"%s"}',
    "no document": b'previous_response_id="%s"',
    "a comment": b'{/*"*/"previous_response_id":"%s"}',
    "single quotes": b"{'previous_response_id':'%s'}",
    "a key without quotes": b'{previous_response_id:"%s"}',
    "a trailing comma": b'{"input":"x",,"previous_response_id":"%s"}',
    "UTF-16": None,
    "no UTF-8": b'{"input":"\xc3\x28","previous_response_id":"%s"}',
    "an upper-case key": b'{"Previous_Response_ID":"%s"}',
}


@pytest.mark.parametrize("name", STRICTLY)
def test_strict_lets_no_plain_id_pass(sealing, name):
    """Providers read more than JSON. This mode passes only bodies that the filter has read."""
    g = sealing("strict")
    template = STRICTLY[name]
    if template is None:
        body = members(("previous_response_id", NATIVE)).encode("utf-16")
    else:
        body = template % NATIVE.encode()
    answer = posted(g, body)
    assert answer.status == 400 and not g.upstream.requests, answer


# ---- Framing -------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["off", "open", "seal", "strict"])
@pytest.mark.parametrize("upgrade", ["foo", "websocket", "h2c"])
def test_a_body_behind_an_upgrade(sealing, mode, upgrade):
    """The end of such a body is unknown, so it cannot be held. Envoy removes `h2c`."""
    taken = [{"upgrade_type": "websocket"}, {"upgrade_type": "foo"}]
    g = sealing(mode, manager={"upgrade_configs": taken})
    body = members(("previous_response_id", sealed(NATIVE, "bravo"))).encode()
    fields = [
        "connection: upgrade",
        f"upgrade: {upgrade}",
        f"content-length: {len(body)}",
    ]
    # A server that does not know the protocol reads the request as any other.
    g.upstream.answer = reply
    for path in ("/v1/responses", "/v1/chat/completions"):
        asked = len(g.upstream.requests)
        refused = upgrade != "h2c" and mode in ("seal", "strict")
        with g.counting() as rose, g.connect() as connection:
            connection.sendall(raw_request(body, *fields, path=path))
            if refused or upgrade == "h2c":
                status = connection.recv(65536).split(b" ")[1]
                assert status == (b"426" if refused else b"200"), path
        assert rose.get("upgrades_refused", 0) == refused
        assert not refused or len(g.upstream.requests) == asked
        if upgrade == "h2c" and path == "/v1/responses":
            got = g.upstream.last()
            opened = members(("previous_response_id", NATIVE)).encode()
            assert got.body == (body if mode == "off" else opened)
            assert got.account == "bravo" or mode == "off"
            assert got.values("upgrade") == []


@pytest.mark.parametrize(
    "fields",
    [
        ["transfer-encoding: gzip, chunked"],
        ["transfer-encoding: chunked, chunked"],
        ["transfer-encoding: chunked", "transfer-encoding: chunked"],
        ["transfer-encoding: identity"],
        ["transfer-encoding: xchunked"],
        ["transfer-encoding: Chunked"],
        ["transfer-encoding: chunked", "content-length: 3"],
        ["content-length: 3", "content-length: 4"],
        ["content-length: +80"],
        ["content-length: 0x50"],
    ],
    ids="|".join,
)
@pytest.mark.parametrize("allowed", [False, True], ids=["", "allowed"])
def test_odd_framing(sealing, fields, allowed):
    """With any framing, the filter has read every body that reaches the upstream."""
    options = {"allow_chunked_length": allowed}
    g = sealing("strict", manager={"http_protocol_options": options})
    g.provider.accounts[NATIVE] = "bravo"
    for id in (sealed(NATIVE, "bravo"), NATIVE):
        body = members(("previous_response_id", id)).encode()
        answer = g.raw(raw_request(chunked([body[:30], body[30:]]), *fields))
        assert answer is None or answer.status < 500 or answer.status == 501, answer
        for got in g.upstream.requests:
            assert got.account == "bravo"
            assert got.body == members(("previous_response_id", NATIVE)).encode()
        assert id != NATIVE or answer is None or answer.status >= 400
        g.upstream.requests.clear()


def test_connect(sealing):
    """A CONNECT request has no path, and so no ids."""
    g = sealing("strict")
    answer = g.raw(b"CONNECT g:80 HTTP/1.1\r\nhost: g:80\r\n\r\n")
    assert answer is None or 400 <= answer.status < 500
    extended = [
        (":method", "CONNECT"),
        (":protocol", "foo"),
        (":path", "/v1/responses"),
    ]
    (answer,) = g.multiplex(extended)
    assert answer is None or answer.status >= 400
    assert not g.upstream.requests


def test_frames_of_one_byte(sealing):
    """Over HTTP/2, with empty frames between them, and trailers."""
    g = sealing("strict")
    g.provider.accounts[NATIVE] = "charlie"
    body = members(("previous_response_id", sealed(NATIVE, "charlie"))).encode()
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    http2.initiate_connection()
    head = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "g",
        ":path": "/v1/responses",
    }
    http2.send_headers(1, [*head.items(), JSON])
    status = None
    with g.connect() as connection:
        for at in range(len(body)):
            http2.send_data(1, body[at : at + 1])
            http2.send_data(1, b"")
            connection.sendall(http2.data_to_send())
        http2.send_headers(1, [("x-checked", "1")], end_stream=True)
        connection.sendall(http2.data_to_send())
        while status is None and (data := connection.recv(65536)):
            for event in http2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
    assert status == "200"
    got = g.upstream.last()
    assert got.account == "charlie"
    assert got.body == members(("previous_response_id", NATIVE)).encode()


# ---- Requests that are held, in Envoy --------------------------------------------------


@pytest.mark.parametrize("where", ["listener", "route"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_body_over_a_small_limit(gateways, where, http2):
    """The filter raises the limit of the connection and of the route."""
    g = gateways()
    routes = [route("/v1", request_body_buffer_limit=32768)] if where == "route" else []
    g.configure(routes=routes)
    if where == "listener":
        (listener,) = g.envoy.configuration["static_resources"]["listeners"]
        listener["per_connection_buffer_limit_bytes"] = 32768
    g.start(settings(sealed_ids="strict", max_body=300_000))
    g.upstream.answer = provider = Provider()
    provider.accounts[NATIVE] = "bravo"
    for size, status in [(1000, 200), (40_000, 200), (299_000, 200), (300_001, 413)]:
        body = json.dumps({"previous_response_id": sealed(NATIVE, "bravo"), "input": ""})
        body = (body[:-2] + "x" * (size - len(body)) + '"}').encode()
        for content in (body, iter([body[:20_000], body[20_000:]])):
            with client(http2) as own:
                answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
            assert answer.status_code == status, (size, answer.content)
        if status == 200:
            assert g.upstream.last().account == "bravo"
            assert json.loads(g.upstream.last().body)["previous_response_id"] == NATIVE


def test_a_request_that_ends_while_it_is_held(sealing):
    """Envoy's time-out or the client ends it. The memory that it held is free again."""
    g = sealing(max_held_bodies=100_000, manager={"request_timeout": "0.5s"})
    half = raw_request(b'{"input":"' + b"x" * 60_000, "content-length: 90000")
    for ends in ("time-out", "client"):
        with g.connect() as connection:
            connection.sendall(half)
            if ends == "time-out":
                assert connection.recv(65536).startswith(b"HTTP/1.1 408")
        stack.wait_for("room", lambda: posted(g, {"input": "x" * 60_000}).status == 200)
    assert all(json.loads(request.body)["input"] == "x" * 60_000 for request in g.upstream.requests)


def test_a_mirror_gets_what_the_account_gets(gateways):
    """The mirror gets the account's credentials: Envoy mirrors behind the filter."""
    g = gateways()
    mirror = Upstream(g.upstream.accounts)
    try:
        policies = [{"cluster": "mirror"}]
        g.configure(
            routes=[route("/v1", route={"request_mirror_policies": policies})],
            clusters=[stack.cluster("mirror", mirror.port)],
        )
        g.start(settings(sealed_ids="strict"))
        g.upstream.answer = provider = Provider()
        provider.accounts[NATIVE] = "bravo"
        body = {"previous_response_id": sealed(NATIVE, "bravo"), "input": "x" * 50_000}
        answer = posted(g, body)
        assert (answer.status, answer.account) == (200, "bravo")
        stack.wait_for("the mirror", lambda: mirror.requests)
        got = mirror.last()
        assert (got.account, got.body) == ("bravo", g.upstream.last().body)
        assert json.loads(got.body)["previous_response_id"] == NATIVE
    finally:
        mirror.close()


# ---- Two in a row ---------------------------------------------------------------------


@pytest.mark.parametrize("apart", ["keys", "scopes", "both", "nothing"])
def test_two_gateways(gateways, apart):
    """A session continues through both, and the client has ids of the outer one."""

    def ring(number):
        return [{"id": 1, "role": "sign", "key": {"env": f"COOKIE_KEY_{number}"}}]

    inner, outer = gateways(), gateways()
    inner.upstream.answer = Provider()
    inner.configure()
    inner.start(
        settings(
            sealed_ids="seal",
            id_keys=ring(2 if apart in ("keys", "both") else 1),
            scope="inner" if apart in ("scopes", "both") else None,
            response_header=None,
        )
    )
    outer.configure(upstream_port=inner.envoy.port)
    teams = [{"name": name, "headers": [{"name": "x-team", "value": name}]} for name in "xyz"]
    outer.start(settings(sealed_ids="seal", id_keys=ring(1), tokens=teams))
    of_teams = {twin.identity_hash(name.encode()) for name in "xyz"}
    for stream in (False, True):
        first = posted(outer, {"stream": stream})
        id = ids_in(first)[0]
        for _ in range(3):
            answer = posted(outer, {"stream": stream, "previous_response_id": id})
            assert answer.status == 200 and answer.account == first.account, answer
            assert id in ids_in(answer), "the id that the client knows is not in the answer"
            id = ids_in(answer)[0]
            verdict, _, pin = twin.open_id(RING, b"", b"", id.encode())
            assert verdict == "sealed" and pin in of_teams
