"""The middleware without a server, in situations that a client can hardly bring about."""

import asyncio
import inspect
import io
import json
import os
import re
import time

import pytest
import tokenpin
from conftest import HERE
from provider import gateway
from test_middleware import table
from tokenpin import SlotStatus
from tokenpin.asgi import Cooldown, Gateway, PinMiddleware, Retry
from tokenpin.wsgi import PinMiddleware as WsgiPinMiddleware


def affinity(slots=3):
    return tokenpin.Affinity(
        ["account-%d" % slot for slot in range(slots)],
        placement_key=b"a placement key!",
        cookie_keys=[tokenpin.CookieKey(1, b"sixteen secrets!")],
    )


@pytest.mark.parametrize(
    "options,message",
    [
        ({"credentials": ["a", "b"]}, "credentials of 2 slots for an affinity of 3"),
        ({"credentials": ["a", "b", "c\n"]}, "credentials: authorization is no header"),
        ({"credentials": ["a", "b", {"x y": "c"}]}, "credentials: x y is no header"),
        ({"carrier_header": "Cookie"}, "the carrier header cookie is used for something else"),
        ({"carrier_header": "X-A", "session_header": "x-a"}, "the carrier header x-a is used"),
        ({"carrier_header": "X-Api-Key"}, "the carrier header x-api-key is used"),
        ({"cooldowns": [Cooldown([429]), Cooldown([])]}, r"cooldowns\[1\]: the statuses"),
        ({"cooldowns": [Cooldown([200])]}, r"cooldowns\[0\]: the statuses are not one or more of 400 to 599"),
        ({"cooldowns": [Cooldown([429], "up")]}, r"cooldowns\[0\]: the state is neither draining nor down"),
        ({"cooldowns": [Cooldown([429], seconds=0)]}, "less than a second"),
        ({"cooldowns": [Cooldown([429], retry_after=0)]}, "less than a second"),
        ({"retry": Retry([600])}, "retry: the statuses"),
        ({"retry": Retry(max=4)}, "retry: max is not 1 to 3"),
        ({"retry": Retry(max=0)}, "retry: max is not 1 to 3"),
        ({"max_body": 0}, "less than a byte"),
        ({"max_held": 0}, "less than a byte"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        Gateway(affinity(), options.pop("credentials", ["a", "b", "c"]), **options)


def test_the_readme_has_every_word():
    with open(os.path.join(HERE, "..", "README.md"), encoding="utf-8") as file:
        table = file.read().split("## Middleware")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    words = {word for row in rows for word in re.findall("`([a-z_]+)`", row.split("|")[1])}
    parameters = set(inspect.signature(Gateway).parameters) - {"affinity", "credentials"}
    assert words == parameters


class TestCooldowns:
    def cooled(self, status, headers=(), **options):
        made = Gateway(affinity(), ["a", "b", "c"], **options)
        made.cool(1, status, list(headers))
        state, weight, until = made.affinity.get_slot(1)
        assert weight == 65536
        return state, until - int(time.time()) if until else 0

    @pytest.mark.parametrize(
        "headers,seconds",
        [
            ([], 30),
            ([(b"retry-after", b"7")], 7),
            ([(b"retry-after", b"0")], 1),
            ([(b"retry-after", b"99999")], 3600),
            ([(b"retry-after", b"6.2")], 7),
            ([(b"retry-after", b"soon")], 30),
            ([(b"retry-after", b"")], 30),
            ([(b"retry-after-ms", b"1500"), (b"retry-after", b"7")], 2),
            ([(b"retry-after-ms", b"x"), (b"retry-after", b"7")], 7),
            ([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")], 1),
            ([(b"retry-after", b"1" * 5000)], 3600),
            ([(b"retry-after", b"\xff")], 30),
        ],
    )
    def test_the_response_says_how_long(self, headers, seconds):
        state, left = self.cooled(429, headers)
        assert state == "draining" and seconds - 1 <= left <= seconds

    def test_a_date_is_a_time_from_now(self):
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
        assert 97 <= self.cooled(401, [(b"retry-after", date.encode())])[1] <= 100

    def test_other_statuses_do_nothing(self):
        for status in (200, 400, 403, 500, 503):
            assert self.cooled(status) == ("up", 0)
        assert self.cooled(500, cooldowns=[Cooldown([500], "down", 9, None)])[0] == "down"
        assert self.cooled(429, cooldowns=[]) == ("up", 0)

    def test_what_an_operator_has_set_stays(self):
        made = Gateway(affinity(), ["a", "b", "c"])
        for status in (SlotStatus("down"), SlotStatus("draining", 7), SlotStatus("draining", 7, 2**40)):
            made.set_slot(1, status)
            made.cool(1, 429, [])
            assert made.affinity.get_slot(1) == status
        made.set_slot(1, SlotStatus("draining", 7, 1))
        made.cool(1, 429, [])
        state, weight, until = made.affinity.get_slot(1)
        assert (state, weight, until > 1) == ("draining", 7, True)

    def test_a_cooldown_only_gets_longer(self):
        made = Gateway(affinity(), ["a", "b", "c"])
        made.cool(1, 429, [(b"retry-after", b"100")])
        first = made.affinity.get_slot(1)
        made.cool(1, 429, [(b"retry-after", b"10")])
        assert made.affinity.get_slot(1) == first
        made.cool(1, 429, [(b"retry-after", b"1000")])
        assert made.affinity.get_slot(1).until > first.until + 800


# ---- Refusals that no server is needed for


def refused(made, **more):
    out = run(PinMiddleware(answering(), made), scope_of(**more), [{"type": "http.request", "body": b"{}"}])
    return out[0]["status"], json.loads(out[1]["body"])["error"], dict(out[0]["headers"])


def test_the_first_table_of_the_page():
    rows = {code: (int(status), message) for _, status, code, message in table("Refusals")}

    def expected(code):
        status, message = rows.pop(code)
        return status, {"message": message, "type": "gateway_error", "param": None, "code": code}

    made = gateway()
    out = run(PinMiddleware(answering(200), made), scope_of(), [{"type": "http.request", "body": b"{}"}])
    cookie = dict(out[0]["headers"])[b"set-cookie"].decode().partition(";")[0]
    until = int(time.time()) + 100
    for slot in range(len(made.affinity)):
        made.set_slot(slot, SlotStatus("down", until=until))
    reads = {"method": "GET", "path": "/v1/files/x", "headers": [("cookie", cookie)]}
    for code, more in (("no_account_available", {}), ("session_unavailable", reads)):
        *answer, headers = refused(made, **more)
        assert tuple(answer) == expected(code) and 95 <= int(headers[b"retry-after"]) <= 100
    made = gateway(config={"reject_bad_keys": True})
    assert refused(made, headers=[("x-consumer", "a"), ("x-consumer", "b")])[:2] == expected("bad_affinity_key")
    assert refused(gateway(scope=lambda head: b"x" * 1025))[:2] == expected("bad_tenant")
    made = gateway()
    made.affinity.close()
    assert refused(made)[:2] == expected("affinity_error")
    assert not rows


# ---- ASGI


def scope_of(kind="http", method="POST", path="/v1/responses", headers=(), **more):
    return {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        **more,
    }


def run(app, scope, messages):
    """Returns the output of an application that gets these messages."""
    messages, out = list(messages), []

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        out.append(message)

    asyncio.run(app(scope, receive, send))
    return out


def answering(*statuses, seen=None, body=b'{"id":"resp_1"}', headers=()):
    """An application that answers with one status after the other."""
    statuses = list(statuses)

    async def app(scope, receive, send):
        text, more = b"", True
        while more:
            message = await receive()
            text, more = text + message.get("body", b""), message.get("more_body", False)
        if seen is not None:
            seen.append((scope, text))
        status = statuses.pop(0)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json"), *headers],
            }
        )
        await send({"type": "http.response.body", "body": body})

    return app


CHAT = {"path": "/v1/chat/completions"}


def account(scope):
    return dict(scope["headers"])[b"authorization"]


def test_a_retry_sends_the_whole_body_again_to_another_account():
    seen = []
    made = gateway(retry=Retry([429, 500], max=3))
    out = run(
        PinMiddleware(answering(429, 500, 200, seen=seen), made),
        scope_of(**CHAT),
        [{"type": "http.request", "body": b'{"a":', "more_body": True}, {"type": "http.request", "body": b"1}"}],
    )
    assert [message.get("status") for message in out] == [200, None]
    assert [body for _, body in seen] == [b'{"a":1}'] * 3 and len({account(scope) for scope, _ in seen}) == 3


@pytest.mark.parametrize("headers", [[("content-type", "application/json")], [("content-type", "text/plain")]])
def test_a_body_over_the_limit_is_not_sent_again(headers):
    for size, sent in ((10, 2), (11, 1)):
        seen = []
        app = PinMiddleware(answering(429, 200, seen=seen), gateway(retry=Retry(body_limit=10)))
        run(app, scope_of(**CHAT, headers=headers), [{"type": "http.request", "body": b"x" * size}])
        assert len(seen) == sent


def test_an_answer_before_the_end_of_the_body_is_final():
    calls = []

    async def app(scope, receive, send):
        calls.append(await receive())
        await send({"type": "http.response.start", "status": 429, "headers": []})
        await send({"type": "http.response.body", "body": b"early"})

    out = run(
        PinMiddleware(app, gateway(config={"id_mode": "off"}, bodies=False)),
        scope_of(**CHAT),
        [{"type": "http.request", "body": b"1", "more_body": True}, {"type": "http.request", "body": b"2"}],
    )
    assert [out[0]["status"], out[1]["body"], len(calls)] == [429, b"early", 1]


def test_no_more_accounts_than_there_are_are_asked():
    made = Gateway(affinity(2), ["a", "b"], retry=Retry(max=3))
    seen = []
    app = PinMiddleware(answering(429, 429, seen=seen), made)
    out = run(app, scope_of(**CHAT), [{"type": "http.request", "body": b"{}"}])
    assert (len(seen), out[0]["status"]) == (2, 429)


def test_a_client_that_goes_while_its_body_is_read_is_not_answered():
    made, seen = gateway(), []
    out = run(
        PinMiddleware(answering(200, seen=seen), made),
        scope_of(),
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}],
    )
    assert (out, seen, made._held) == ([], [], 0)


def test_all_that_is_held_has_a_bound_and_is_given_back():
    made = gateway(max_held=100)
    app = PinMiddleware(answering(*[200] * 9), made)
    for _ in range(3):
        assert run(app, scope_of(), [{"type": "http.request", "body": b" " * 98 + b"{}"}])[0]["status"] == 200
        out = run(app, scope_of(), [{"type": "http.request", "body": b" " * 99 + b"{}"}])
        assert out[0]["status"] == 503 and (b"retry-after", b"1") in out[0]["headers"]
        assert json.loads(out[1]["body"])["error"]["code"] == "too_many_bodies"
        assert made._held == 0

    async def broken(scope, receive, send):
        raise OSError("no connection")

    with pytest.raises(OSError):
        run(PinMiddleware(broken, made), scope_of(), [{"type": "http.request", "body": b"{}"}])
    assert made._held == 0


def test_a_reload_counts_for_the_next_request():
    seen = []
    app = PinMiddleware(answering(200, 200, seen=seen), Gateway(affinity(1), ["old"]))
    body = [{"type": "http.request", "body": b"{}"}]
    run(app, scope_of(), body)
    app.gateway = Gateway(affinity(1), [{"X-Api-Key": "new"}])
    run(app, scope_of(headers=[("x_api_key", "mine")]), body)
    assert account(seen[0][0]) == b"Bearer old"
    assert [pair for pair in seen[1][0]["headers"] if b"api" in pair[0]] == [(b"x-api-key", b"new")]


def test_the_decision_is_there_for_who_stands_around():
    scope = scope_of()
    run(PinMiddleware(answering(200), gateway()), scope, [{"type": "http.request", "body": b"{}"}])
    assert scope["tokenpin.decision"].outcome == "placed"


def test_no_file_goes_past_the_sealer():
    seen = []
    scope = scope_of(extensions={"http.response.pathsend": {}, "http.response.debug": {}})
    run(PinMiddleware(answering(200, seen=seen), gateway()), scope, [{"type": "http.request", "body": b"{}"}])
    assert seen[0][0]["extensions"] == {"http.response.debug": {}}
    assert "http.response.pathsend" in scope["extensions"]


def test_a_lifespan_passes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    run(PinMiddleware(app, gateway()), {"type": "lifespan"}, [])
    assert seen == ["lifespan"]


class TestWebSockets:
    async def app(self, scope, receive, send):
        await receive()
        self.scope = scope
        await send({"type": "websocket.accept", "headers": [(b"set-cookie", b"pin=evil")]})
        await send({"type": "websocket.send", "text": "x"})

    def test_a_handshake_begins_a_session_and_frames_pass(self):
        app = PinMiddleware(self.app, gateway(config={"id_mode": "open"}))
        out = run(
            app,
            scope_of("websocket", path="/v1/responses", headers=[("authorization", "mine")]),
            [{"type": "websocket.connect"}],
        )
        ((name, cookie),) = out[0]["headers"]
        assert (name, cookie[:4], cookie == b"pin=evil") == (b"set-cookie", b"pin=", False)
        assert out[1]["text"] == "x" and account(self.scope).startswith(b"Bearer sk-")
        # It creates, as a POST does.
        assert self.scope["tokenpin.decision"].existing is False

    def test_on_a_path_with_sealed_ids_it_is_refused(self):
        for mode, refuse, refused in (
            ("seal", False, True),
            ("strict", False, True),
            ("open", True, True),
            ("open", False, False),
            ("off", True, False),
        ):
            app = PinMiddleware(self.app, gateway(config={"id_mode": mode}, refuse_upgrades=refuse))
            scope = scope_of("websocket", extensions={"websocket.http.response": {}})
            out = run(app, scope, [{"type": "websocket.connect"}])
            if refused:
                assert (out[0]["type"], out[0]["status"]) == ("websocket.http.response.start", 426)
                assert (b"upgrade", b"HTTP/1.1") in out[0]["headers"]
            else:
                assert out[0]["type"] == "websocket.accept"
            out = run(app, scope_of("websocket"), [{"type": "websocket.connect"}])
            assert out[0]["type"] == ("websocket.close" if refused else "websocket.accept")
            out = run(app, scope_of("websocket", path="/v1/realtime"), [{"type": "websocket.connect"}])
            assert out[0]["type"] == "websocket.accept"


# ---- WSGI


def environ_of(method="POST", path="/v1/responses", body=b"{}", **more):
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **more,
    }


def call(app, environ):
    started, written = [], []

    def start_response(status, headers, exc_info=None):
        started.append((status, headers))
        return written.append

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    ((status, headers),) = started
    return status, headers, b"".join(written) + body


def wsgi(*statuses, seen=None, closed=None, writes=False, body=b'{"id":"resp_1"}'):
    statuses = list(statuses)

    class Chunks(list):
        def close(self):
            if closed is not None:
                closed.append(1)

    def app(environ, start_response):
        got = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if seen is not None:
            seen.append((environ, got))
        write = start_response("%d X" % statuses.pop(0), [("Content-Type", "application/json")])
        if writes:
            write(b'{"id":"re')
            return Chunks([b'sp_1"}'])
        return Chunks([body])

    return app


def test_a_body_that_is_cut_off_loses_nothing():
    body = b'{"id":"resp_1'
    assert call(WsgiPinMiddleware(wsgi(200, body=body), gateway()), environ_of())[2] == body
    app = PinMiddleware(answering(200, body=body), gateway())
    out = run(app, scope_of(), [{"type": "http.request", "body": b"{}"}])
    assert out[1]["body"] == body


def test_wsgi_retries_and_closes_what_it_drops():
    seen, closed = [], []
    app = WsgiPinMiddleware(wsgi(429, 200, seen=seen, closed=closed), gateway())
    status, _, _ = call(app, environ_of(path="/v1/chat/completions", body=b'{"a":1}'))
    assert (status, [body for _, body in seen], len(closed)) == ("200 X", [b'{"a":1}'] * 2, 2)
    assert len({environ["HTTP_AUTHORIZATION"] for environ, _ in seen}) == 2


def test_wsgi_seals_also_what_is_written():
    made = gateway()
    for writes in (False, True):
        _, headers, body = call(WsgiPinMiddleware(wsgi(200, writes=writes), made), environ_of())
        assert re.fullmatch(rb'\{"id":"resp_1[\w-]{23}tp0"\}', body), body
        assert [name for name, _ in headers] == ["content-type", "set-cookie", "cache-control"]
    assert made._held == 0


def test_wsgi_knows_the_target_without_the_servers_help():
    affinity_ = gateway().affinity
    sealed = json.loads(call(WsgiPinMiddleware(wsgi(200), gateway()), environ_of())[2])["id"]
    assert affinity_.opener("/v1/responses/" + sealed, "items").target == "/v1/responses/resp_1"
    for path, more in (
        ("/v1/responses/" + sealed, {}),
        ("/responses/" + sealed, {"SCRIPT_NAME": "/v1"}),
        ("/v1/responses/" + sealed, {"RAW_URI": "/v1/responses/%s?after=x" % sealed}),
    ):
        seen = []
        call(WsgiPinMiddleware(wsgi(200, seen=seen), gateway()), environ_of("GET", path, body=b"", **more))
        ((environ, _),) = seen
        assert environ["PATH_INFO"] == path.replace(sealed, "resp_1")
        if "RAW_URI" in more:
            assert environ["RAW_URI"] == "/v1/responses/resp_1?after=x" and environ["QUERY_STRING"] == "after=x"


def test_wsgi_refusals_speak_of_no_connection():
    environ = environ_of("GET", body=b"", HTTP_CONNECTION="Upgrade", HTTP_UPGRADE="websocket")
    status, headers, _ = call(WsgiPinMiddleware(wsgi(200), gateway()), environ)
    assert status == "426 Upgrade Required" and "upgrade" not in dict(headers)
