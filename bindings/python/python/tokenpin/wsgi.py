"""Middleware for WSGI: around the application that sends requests to a provider.

    app = PinMiddleware(app, Gateway(affinity, ["sk-a", "sk-b"]))

To reload, assign another `Gateway` to `gateway`: requests under way end with the one that decided
about them. The `Decision` is in the environment, as `tokenpin.decision`.

WSGI gives an application the values of repeated headers joined, so two `Cookie` fields are one.
HTTP/1.1 has one anyway.
"""

import io
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Callable, Optional
from urllib.parse import quote, unquote_to_bytes

from .gateway import Cooldown, Exchange, Gateway, Head, Headers, Refused, Retry

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_BLOCK = 1 << 16


class PinMiddleware:
    """Pins the sessions of HTTP requests to accounts."""

    def __init__(self, app: App, gateway: Gateway) -> None:
        self.app, self.gateway = app, gateway

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        head = _head(environ)
        exchange: Optional[Exchange] = None
        try:
            exchange = Exchange(self.gateway, head)
            given = environ.get("wsgi.input", io.BytesIO())
            body = _read(exchange, _limited(given, head)) if exchange.waits() else given
            exchange.decide()
            return self._ask(exchange, environ, body, start_response)
        except Refused as refused:
            if exchange is not None:
                exchange.close()
            return _answer(refused, head.headers, start_response)
        except BaseException:
            if exchange is not None:
                exchange.close()
            raise

    def _ask(self, exchange: Exchange, environ: Environ, body: Any, start_response: StartResponse) -> Iterable[bytes]:
        """Asks one account, or several."""
        limit = exchange.keeps()
        kept: Any = body
        if limit is not None:
            kept = _Kept(_limited(body, exchange.head) if exchange.body is None else body, limit)
        while True:
            response = _Response(exchange, start_response)
            chunks = self.app(_outgoing(exchange, environ, kept), response.start)
            # An application may start its response no sooner than it is asked for the first chunk.
            iterator, first = iter(chunks), []
            while not response.started:
                chunk = next(iterator, None)
                if chunk is None:
                    break
                first.append(chunk)
            again = limit is not None and response.may_retry() and kept.whole() and exchange.another()
            if not again:
                response.begin()
                return _Chunks(exchange, first, iterator, chunks)
            _close(chunks)
            kept.rewind()


def _head(environ: Environ) -> Head:
    headers: Headers = []
    for name, value in environ.items():
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value):
            name = name[5:] if name.startswith("HTTP_") else name
            headers.append((name.replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")))
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target is None:
        path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
        query = environ.get("QUERY_STRING", "")
        target = quote(path) + ("?" + query if query else "")
    return Head(environ["REQUEST_METHOD"], target.encode("latin-1"), headers)


def _outgoing(exchange: Exchange, environ: Environ, body: Any) -> Environ:
    """The environment as the account's request."""
    target, headers = exchange.outgoing()
    # Also for middleware around this, such as logs.
    environ["tokenpin.decision"] = exchange.decision
    out = {name: value for name, value in environ.items() if not name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        out.pop(name, None)
    for name_, value_ in headers:
        name = name_.decode("latin-1").upper().replace("-", "_")
        name = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + name
        out[name] = value_.decode("latin-1")
    out["wsgi.input"] = body
    # By this an application hands a file to the server, past the code that would seal its ids.
    out.pop("wsgi.file_wrapper", None)
    if target != exchange.head.target:
        path, _, query = target.partition(b"?")
        info = unquote_to_bytes(path).decode("latin-1")
        script = environ.get("SCRIPT_NAME", "")
        out["PATH_INFO"] = info[len(script) :] if info.startswith(script) else info
        out["QUERY_STRING"] = query.decode("latin-1")
        for name in ("RAW_URI", "REQUEST_URI"):
            if name in out:
                out[name] = target.decode("latin-1")
    return out


def _limited(body: Any, head: Head) -> Any:
    """Servers may leave it to the application to stop where the body ends."""
    length = head.values("content-length")
    return body if not length or not length[0].isdigit() else _Limited(body, int(length[0]))


class _Limited(io.RawIOBase):
    def __init__(self, body: Any, left: int) -> None:
        self._body, self._left = body, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._left)
        chunk = self._body.read(size) if size else b""
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)


def _read(exchange: Exchange, body: Any) -> Any:
    """Reads the body for its ids, and gives what the account gets of it."""
    while True:
        chunk = body.read(_BLOCK)
        if not chunk:
            exchange.end()
            return io.BytesIO(exchange.body or b"")
        if not exchange.read(chunk):
            return io.BufferedReader(_Joined(exchange.front(), body))


class _Joined(io.RawIOBase):
    """The part that was read, and the rest behind it."""

    def __init__(self, front: bytes, rest: Any) -> None:
        self._front, self._rest = front, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk, self._front = self._front[: len(buffer)], self._front[len(buffer) :]
        chunk = chunk or self._rest.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Kept(io.RawIOBase):
    """A body of which a copy is kept while it passes, up to a limit."""

    def __init__(self, body: Any, limit: int) -> None:
        self._body, self._limit = body, limit
        self._copy: Optional[bytearray] = bytearray()
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._body.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._ended = not chunk and len(buffer) > 0
        if self._copy is not None:
            self._copy += chunk
            if len(self._copy) > self._limit:
                self._copy = None
        return len(chunk)

    def whole(self) -> bool:
        """True if the body can be sent again. An application need not read more than
        Content-Length.
        """
        if self._copy is not None and not self._ended:
            self._ended = not self._body.read(1) if isinstance(self._body, (io.BytesIO, _Limited)) else False
        return self._copy is not None and self._ended

    def rewind(self) -> None:
        self._body, self._copy, self._ended = io.BytesIO(bytes(self._copy or b"")), bytearray(), False


class _Response:
    """The response of one account, on its way to the client."""

    def __init__(self, exchange: Exchange, start_response: StartResponse) -> None:
        self._exchange, self._start_response = exchange, start_response
        self._given: Optional[tuple[str, Headers, Any]] = None
        self._begun = False
        self.started = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        if self._begun:
            # Too late for anything but the server's own complaint.
            return self._start_response(status, headers, exc_info)
        if not self.started:
            self._exchange.gateway.cool(self._exchange.slot, int(status[:3]), pairs)
        self.started, self._given = True, (status, pairs, exc_info)
        return self._write

    def may_retry(self) -> bool:
        return self._given is not None and self._exchange.may_retry(int(self._given[0][:3]))

    def begin(self) -> Optional[Callable[[bytes], object]]:
        if self._given is None or self._begun:
            return None
        status, headers, exc_info = self._given
        self._begun = True
        out = self._exchange.respond(int(status[:3]), headers)
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in out]
        self._writes = self._start_response(status, pairs, *([exc_info] if exc_info else []))
        return self._writes

    def _write(self, chunk: bytes) -> object:
        """Writes before the application returns. That cannot be taken back, so the response is
        final.
        """
        self.begin()
        sealer = self._exchange.sealer
        return self._writes(chunk if sealer is None else sealer.push(chunk))


class _Chunks:
    """The body of a response."""

    def __init__(self, exchange: Exchange, first: list[bytes], rest: Iterator[bytes], given: Iterable[bytes]) -> None:
        self._exchange, self._given = exchange, given
        self._chunks = self._iterate(first, rest)

    def _iterate(self, first: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
        sealer = self._exchange.sealer
        for chunks in (first, rest):
            for chunk in chunks:
                chunk = chunk if sealer is None else sealer.push(bytes(chunk))
                if chunk:
                    yield chunk
        if sealer is not None:
            yield sealer.finish()

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._exchange.close()
        _close(self._given)


def _close(chunks: Iterable[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _answer(refused: Refused, request: Headers, start_response: StartResponse) -> Iterable[bytes]:
    status, headers, body = refused.answer(request)
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    # Upgrade belongs to one connection, which an application must not speak of.
    pairs = [pair for pair in pairs if pair[0] != "upgrade"]
    start_response("%d %s" % (status, HTTPStatus(status).phrase), pairs)
    return [body]


__all__ = ["Cooldown", "Gateway", "Head", "PinMiddleware", "Retry"]
