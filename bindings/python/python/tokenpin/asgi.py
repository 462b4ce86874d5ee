"""Middleware for ASGI: around the application that sends requests to a provider.

    app = PinMiddleware(app, Gateway(affinity, ["sk-a", "sk-b"]))

To reload, assign another `Gateway` to `gateway`: requests under way end with the one that decided
about them. The `Decision` is in the scope, as `tokenpin.decision`.
"""

from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable, Optional
from urllib.parse import quote, unquote

from .gateway import Cooldown, Exchange, Gateway, Head, Headers, Refused, Retry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# By these an application hands a file to the server, past the code that would seal its ids.
_PAST_US = ("http.response.pathsend", "http.response.zerocopysend")


class PinMiddleware:
    """Pins the sessions of HTTP requests and WebSockets to accounts."""

    def __init__(self, app: App, gateway: Gateway) -> None:
        self.app, self.gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = _head(scope)
        exchange: Optional[Exchange] = None
        try:
            exchange = Exchange(self.gateway, head)
            body = _Body(receive, exchange)
            if exchange.waits() and not await body.read():
                # The client is gone.
                return
            exchange.decide()
            await self._ask(exchange, body, scope, send)
        except Refused as refused:
            await _answer(refused, head.headers, send)
        finally:
            if exchange is not None:
                exchange.close()

    async def _ask(self, exchange: Exchange, body: "_Body", scope: Scope, send: Send) -> None:
        """Asks one account, or several."""
        body.keep(exchange.keeps())
        while True:
            response = _Response(exchange, body, send)
            await self.app(_outgoing(exchange, scope), body.receive, response.send)
            if not response.dropped:
                return
            body.rewind()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = _head(scope)
        try:
            exchange = Exchange(self.gateway, head, is_websocket=True)
            exchange.waits()
            exchange.decide()
        except Refused as refused:
            await receive()
            if "websocket.http.response" in (scope.get("extensions") or {}):
                await _answer(refused, head.headers, send, "websocket.")
            else:
                # Without that extension, a server answers 403.
                await send({"type": "websocket.close", "code": 1008, "reason": refused.message})
            return

        async def sends(message: Message) -> None:
            kind = message["type"]
            if kind == "websocket.accept":
                headers = exchange.respond(101, _headers(message), is_upgrade=True)
                message = {**message, "headers": headers}
            elif kind == "websocket.http.response.start":
                status = message["status"]
                self.gateway.cool(exchange.slot, status, _headers(message))
                message = {**message, "headers": exchange.respond(status, _headers(message))}
            await send(message)

        await self.app(_outgoing(exchange, scope), receive, sends)


def _headers(message: Message) -> Headers:
    return [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers") or ()]


def _head(scope: Scope) -> Head:
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string") or b""
    target = path + b"?" + query if query else path
    return Head(scope.get("method", "GET"), target, _headers(scope))


def _outgoing(exchange: Exchange, scope: Scope) -> Scope:
    """The scope as the account's request."""
    target, headers = exchange.outgoing()
    # Also for middleware around this, such as logs.
    scope["tokenpin.decision"] = exchange.decision
    out = {**scope, "headers": headers}
    if target != exchange.head.target:
        path, _, query = target.partition(b"?")
        out.update(raw_path=path, path=unquote(path.decode("latin-1")), query_string=query)
    if exchange.opener is not None and out.get("extensions"):
        out["extensions"] = {name: it for name, it in out["extensions"].items() if name not in _PAST_US}
    return out


async def _answer(refused: Refused, request: Headers, send: Send, kind: str = "") -> None:
    status, headers, body = refused.answer(request)
    await send({"type": kind + "http.response.start", "status": status, "headers": headers})
    await send({"type": kind + "http.response.body", "body": body})


class _Body:
    """The body of a request: the client's as it comes, or one that was read."""

    def __init__(self, receive: Receive, exchange: Exchange) -> None:
        self._receive, self._exchange = receive, exchange
        # The front that the application gets first, and whether more comes behind it.
        self._front: list[bytes] = []
        self._more = True
        # A copy of what passed, while it is kept.
        self._kept: Optional[list[bytes]] = None
        self._room = 0

    async def read(self) -> bool:
        """Reads the body for its ids. False if the client has gone."""
        exchange = self._exchange
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return False
            if not exchange.read(message.get("body") or b""):
                self._front, self._more = [exchange.front()], bool(message.get("more_body"))
                return True
            if not message.get("more_body"):
                exchange.end()
                self._front, self._more = [exchange.body or b""], False
                return True

    def keep(self, limit: Optional[int]) -> None:
        """A copy of up to that many bytes is kept of what passes."""
        if limit is not None and sum(map(len, self._front)) <= limit:
            self._kept, self._room = [], limit

    @property
    def whole(self) -> bool:
        """True if the body can be sent again."""
        return self._kept is not None and not self._more and not self._front

    def rewind(self) -> None:
        self._front, self._kept = [b"".join(self._kept or ())], []

    async def receive(self) -> Message:
        if self._front or not self._more:
            if not self._front:
                # Behind the end, the server says when the client goes.
                return await self._receive()
            body = self._front.pop(0)
            self._note(body)
            return {"type": "http.request", "body": body, "more_body": self._more or bool(self._front)}
        message = await self._receive()
        if message["type"] == "http.request":
            self._more = bool(message.get("more_body"))
            self._note(message.get("body") or b"")
        return message

    def _note(self, body: bytes) -> None:
        if self._kept is not None:
            self._room -= len(body)
            self._kept.append(body)
            if self._room < 0:
                self._kept = None


class _Response:
    """The response of one account, on its way to the client."""

    def __init__(self, exchange: Exchange, body: _Body, send: Send) -> None:
        self._exchange, self._body, self._send = exchange, body, send
        self.dropped = False
        """Another account is asked instead."""

    async def send(self, message: Message) -> None:
        if self.dropped:
            return
        exchange, kind = self._exchange, message["type"]
        if kind == "http.response.start":
            status, headers = message["status"], _headers(message)
            exchange.gateway.cool(exchange.slot, status, headers)
            if exchange.may_retry(status) and self._body.whole and exchange.another():
                self.dropped = True
                return
            message = {**message, "headers": exchange.respond(status, headers)}
        elif kind == "http.response.body" and exchange.sealer is not None:
            more = bool(message.get("more_body"))
            body = exchange.sealer.push(bytes(message.get("body") or b""))
            if not more:
                body += exchange.sealer.finish()
            elif not body:
                # It is held back, and goes out with the next part.
                return
            message = {**message, "body": body}
        await self._send(message)


__all__ = ["Cooldown", "Gateway", "Head", "PinMiddleware", "Retry"]
