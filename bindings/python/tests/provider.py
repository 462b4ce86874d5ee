"""A provider with state in its accounts, as an application for ASGI and for WSGI, behind the
middleware.

An id says which account made it, so that any process can play the provider: with another account it
answers 404.
"""

import hashlib
import json
import os
import time

import tokenpin
from tokenpin.asgi import Cooldown, Gateway, PinMiddleware, Retry
from tokenpin.wsgi import PinMiddleware as WsgiPinMiddleware

ACCOUNTS = ["sk-%s" % letter for letter in "abcdef"]


def gateway(**options):
    config = {"id_mode": os.environ.get("ID_MODE", "seal"), "cookie_name": "pin", "secure": False}
    config.update(options.pop("config", {}))
    affinity = tokenpin.Affinity(
        ["account-%s" % letter for letter in "abcdef"],
        placement_key=b"a placement key!",
        cookie_keys=[tokenpin.CookieKey(1, b"sixteen secrets!")],
        **config,
    )
    options.setdefault("consumer_header", "X-Consumer")
    options.setdefault("session_header", "X-Session")
    options.setdefault("carrier_header", "X-Pin")
    options.setdefault("origin", ("provider.example", lambda head: "http://gateway.example"))
    options.setdefault("max_body", 100_000)
    options.setdefault("cooldowns", [Cooldown([429], seconds=5)])
    options.setdefault("retry", Retry())
    return Gateway(affinity, ACCOUNTS, **options)


def mark_of(account):
    return hashlib.sha256(account.encode()).hexdigest()[:16]


def answer(method, target, headers, body):
    """Status, headers and chunks. What the account got is in the header x-seen."""
    got = dict(headers)
    account = got["authorization"].removeprefix("Bearer ")
    shown = body.decode("latin-1") if len(body) < 10_000 else hashlib.sha256(body).hexdigest()
    seen = json.dumps(
        {
            "method": method,
            "target": target,
            "account": account,
            "body": shown,
            "headers": [pair for pair in headers if pair[0] != "user-agent"],
        }
    )
    out = [("content-type", "application/json"), ("x-seen", seen)]
    if got.get("x-fails") == account or got.get("x-fails") == "all":
        return 429, [*out, ("retry-after", "7")], [b'{"error":{"code":"rate_limited"}}']
    for name, value in headers:
        if name.startswith("x-say-"):
            out.append((name[6:], value))
    named = [word for word in target.split("?")[0].split("/") if word.startswith("resp_")]
    asked = json.loads(body) if body[:1] == b"{" else {}
    if isinstance(asked, dict) and asked.get("previous_response_id"):
        named.append(asked["previous_response_id"])
    if any(mark_of(account) not in name for name in named):
        return 404, out, [b'{"error":{"code":"not_found"}}']
    native = named[0] if named and method == "GET" else "resp_" + mark_of(account) + os.urandom(16).hex()
    if isinstance(asked, dict) and asked.get("stream"):
        event = b'event: response.output_text.delta\ndata: {"response":{"id":"%s"},"delta":"x"}\n\n'
        text = event * 20 % ((native.encode(),) * 20) + b"data: [DONE]\n\n"
        out[0] = ("content-type", "text/event-stream")
        return 200, out, [text[at : at + 7] for at in range(0, len(text), 7)]
    text = json.dumps(
        {"id": native, "object": "response", "results_url": "https://provider.example/v1/responses/" + native}
    ).encode()
    out += [("content-length", str(len(text))), ("etag", '"strong"'), ("location", "/v1/responses/" + native)]
    return int(got.get("x-status", 200)), out, [text]


async def provider(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
    query = scope["query_string"]
    target = (scope["raw_path"] + (b"?" + query if query else b"")).decode()
    status, headers, chunks = answer(scope["method"], target, headers, body)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        }
    )
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def wsgi_provider(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) or None)
    headers = [
        (name[5:].lower().replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    headers += [
        (name.lower().replace("_", "-"), environ[name])
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        if environ.get(name)
    ]
    status, headers, chunks = answer(environ["REQUEST_METHOD"], environ["RAW_URI"], headers, body)
    start_response("%d Status" % status, headers)
    for chunk in chunks:
        if len(chunks) > 1:
            time.sleep(0.0001)
        yield chunk


asgi_app = PinMiddleware(provider, gateway())
wsgi_app = WsgiPinMiddleware(wsgi_provider, gateway())
