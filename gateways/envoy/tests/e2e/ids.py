"""Sealed ids, and requests that name them."""

import json
import re

import tokenpin_twin as twin
from gateway import ACCOUNTS, COOKIE_KEYS
from provider import JSON

RING = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
SEALED = re.compile(r"[a-z]+[_-][A-Za-z0-9_-]+tp[012]")


def sealed(native, account, scope=b"", owner=b"", ring=RING):
    """The id as the filter would seal it."""
    pin = twin.identity_hash(account.encode())
    return twin.seal_id(ring, scope, owner, native.encode(), pin).decode()


def marked(content, account):
    pin = twin.identity_hash(account.encode())
    return content + twin.mark_content(RING, b"", b"", content.encode(), pin).decode()


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


def chunked(parts, trailers=b""):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return framed + b"0\r\n" + trailers + b"\r\n"


def raw_request(body, *headers, path="/v1/responses", method="POST"):
    head = [f"{method} {path} HTTP/1.1", "host: g", "content-type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


NATIVE = "resp_" + "0123456789abcdef" * 3
OTHER = "file-AbCdEfGhIjKlMnOpQrStUv"
GONE = sealed(NATIVE, "nobody")
FORGED = sealed(NATIVE, "alpha", ring=[twin.RingKey(1, bytes(15) + b"\1", twin.SIGN)])

ANTHROPIC = ("anthropic-version", "2023-06-01")
HANDSHAKE = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
