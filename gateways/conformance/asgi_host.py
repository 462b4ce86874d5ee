"""A gateway of Python's ASGI middleware, with a configuration in the words of config.schema.json.

    asgi_host.py CONFIG PORT PROVIDER

Keys and secrets are in the environment (`env`). The provider is asked over one connection for each
request.
"""

import asyncio
import json
import os
import sys

import tokenpin
import uvicorn
from tokenpin.asgi import Cooldown, Gateway, PinMiddleware, Retry


def ring(keys):
    return [tokenpin.CookieKey(key["id"], bytes.fromhex(os.environ[key["key"]["env"]]), key["role"]) for key in keys]


class Credentials(Gateway):
    """Of the middleware, with headers that are taken off besides."""

    removed = frozenset()

    def apply(self, slot, headers):
        return super().apply(slot, [pair for pair in headers if pair[0] not in self.removed])


def gateway(words, provider):
    words = dict(words)
    tokens = words.pop("tokens")
    capacity = words.pop("capacity", 1 + max(token.get("slot", place) for place, token in enumerate(tokens)))
    slots, credentials, removed = [None] * capacity, [None] * capacity, set()
    for place, token in enumerate(tokens):
        place = token.get("slot", place)
        slots[place] = (token["name"], token.get("state", "up"), token.get("weight", 65536), token.get("until", 0))
        credentials[place] = {}
        for header in token.get("headers", []):
            if header.get("remove"):
                removed.add(header["name"].lower().encode())
            else:
                secret = header["value"] if "value" in header else os.environ[header["env"]]
                credentials[place][header["name"]] = header.get("prefix", "") + secret
    cookie = words.pop("cookie", {})
    if cookie.get("max_age") == "auto":
        del cookie["max_age"]
    made = {"cookie_name": cookie.pop("name", None) or None, **cookie}
    for name in ("success",):
        if name in words:
            made[name] = tuple(words.pop(name))
    made["placement_key"] = bytes.fromhex(os.environ[words.pop("placement_key")["env"]])
    made["cookie_keys"], made["id_keys"] = ring(words.pop("cookie_keys")), ring(words.pop("id_keys", []))
    made["id_mode"] = words.pop("sealed_ids", "off")
    made["rules"] = [
        (rule["pattern"], rule["group"], rule.get("ids", "both" if rule["group"] == "stateful" else "none"))
        for rule in words.pop("rules", [])
    ]
    made["id_fields"] = [(field["name"], field["kind"]) for field in words.pop("id_fields", [])]
    words.pop("cache_control", None)  # it always sets it
    options = {}
    if "consumer" in words:
        options["consumer_header"] = words.pop("consumer")["header"]
    for source in words.pop("session", []):
        options["session_header"] = source["header"]
    if "retry" in words:
        retry = words.pop("retry")
        options["retry"] = Retry(retry["status"], retry.get("max", 1))
    if "cooldowns" in words:
        options["cooldowns"] = [
            Cooldown(
                each["status"],
                each["state"],
                each["seconds"],
                each.get("max_seconds", 3600) if each.get("retry_after") else None,
            )
            for each in words.pop("cooldowns")
        ]
    for name, word in (
        ("carrier_header", "carrier_header"),
        ("max_body", "max_body"),
        ("max_held", "max_held_bodies"),
        ("bodies", "bodies"),
        ("refuse_upgrades", "refuse_upgrades"),
    ):
        if word in words:
            options[name] = words.pop(word)
    # The rest has the same names. An unknown name is refused.
    affinity = tokenpin.Affinity(slots, **made, **words)
    found = Credentials(affinity, credentials, origin=(provider, own), **options)
    found.removed = frozenset(removed)
    return found


def own(head):
    return b"http://" + (head.values("host") or [b""])[0]


class Provider:
    """Sends a request on, and streams what comes back."""

    def __init__(self, address):
        self.host, _, self.port = address.partition(":")

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        drop = (b"host", b"connection", b"upgrade", b"transfer-encoding", b"keep-alive", b"content-length")
        lines = [
            scope["method"].encode() + b" " + target + b" HTTP/1.1",
            f"host: {self.host}:{self.port}".encode(),
            b"connection: close",
        ]
        lines += [name + b": " + value for name, value in scope["headers"] if name not in drop]
        if body or any(name == b"content-length" for name, _ in scope["headers"]):
            lines.append(b"content-length: %d" % len(body))
        reader, writer = await asyncio.open_connection(self.host, int(self.port), limit=1 << 20)
        try:
            writer.write(b"\r\n".join([*lines, b"", b""]) + body)
            await self.answer(scope["method"], reader, send)
        finally:
            writer.close()

    async def answer(self, method, reader, send):
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        status = int(head[0].split(b" ")[1])
        headers = [
            (name.lower(), value.strip(b" \t"))
            for name, _, value in (line.partition(b":") for line in head[1:] if line)
        ]
        fields = dict(headers)
        passed = [pair for pair in headers if pair[0] not in (b"transfer-encoding", b"connection")]
        await send({"type": "http.response.start", "status": status, "headers": passed})
        if method != "HEAD" and status not in (204, 304):
            if fields.get(b"transfer-encoding") == b"chunked":
                while size := int((await reader.readline()).split(b";")[0], 16):
                    chunk = await reader.readexactly(size)
                    await reader.readline()
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            else:
                body = await reader.readexactly(int(fields.get(b"content-length", 0)))
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def main(config, port, provider):
    with open(config) as file:
        app = PinMiddleware(Provider(provider), gateway(json.load(file), provider))
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        lifespan="off",
        server_header=False,
        date_header=False,
        ws="none",
        h11_max_incomplete_event_size=1 << 20,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
