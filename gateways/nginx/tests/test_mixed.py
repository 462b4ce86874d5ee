"""Requests of many kinds at a time, by many clients, while nginx takes new configurations."""

import json
import random
import threading
import time

import httpx2
import pytest
from asking import NATIVE, sealed
from gateway import ACCOUNTS, CONSUMER, COOKIE, client, consumer_of, encoded, forge, settings
from provider import JSON
from test_breaking import SEALED, head
from test_nginx import REDIRECTS
from upstream import RESET, reply

SECONDS = 20
SMALL = """
location /small/ {
    client_max_body_size 1k;
    rewrite_by_lua_block { require("resty.tokenpin").request() }
    proxy_pass http://provider;
}
client_body_buffer_size 2k;
"""


def events():
    for number in range(20):
        data = b'data: {"response":{"id":"resp_%048x"}}\n\n' % number
        yield b"%x\r\n%s\r\n" % (len(data), data)
        time.sleep(0.003)
    yield b"0\r\n\r\n"


def answer(request):
    """As the request's `x-do` says."""
    wanted = (request.value("x-do") or b"").decode()
    text = "é" * random.randrange(300)
    body = json.dumps({"id": NATIVE, "opened": NATIVE.encode() in request.body, "text": text}).encode()
    if wanted == "events":
        yield reply(request, 200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")], b"", False)
        yield from events()
    elif wanted == "cut":
        yield reply(request, 200, [JSON, ("content-length", len(body) + 9)], body, False)
        yield RESET
    elif wanted == "plain":
        yield reply(request, 200, [("content-type", "text/plain")], body)
    else:
        yield reply(request, int(wanted or 200), [JSON], body)


def is_right(kind, account, got):
    if kind == "small":
        return got.status_code == 413
    if kind == "page":
        return got.text == "a page of nginx's" and "set-cookie" not in got.headers
    if got.headers.get("x-account") != account or got.status_code != {"404": 404, "again": 404}.get(kind, 200):
        return False
    if kind == "events":
        return got.text.count("tp") >= 20 and NATIVE not in got.text
    found = got.json()
    if kind == "plain":
        return found["id"] == NATIVE
    return bool(SEALED.match(found["id"])) and found["opened"] == (kind in ("sealed", "http2"))


def request_of(kind, account, draw):
    """The path, headers and fields of the body of a request that the account must serve."""
    headers, body = [JSON], {"input": "x" * draw.choice([1, 500, 5000])}
    if kind in ("sealed", "http2"):
        body["previous_response_id"] = sealed(NATIVE, account)
    elif kind == "cookie":
        headers.append(("cookie", f"{COOKIE}={forge(account)}"))
    elif kind == "carrier":
        headers.append(("x-pin", forge(account)))
    else:
        headers.append((CONSUMER, consumer_of(account)))
    wanted = {"again": "404", "page": "404"}.get(kind, kind)
    if wanted in ("404", "cut", "events", "plain"):
        headers.append(("x-do", wanted))
    prefix = f"/{kind}" if kind in ("again", "page", "small") else ""
    return f"{prefix}/v1/responses", headers, json.dumps(body).encode()


def leave(g, draw):
    """Begins a request, or reads the beginning of its answer, and leaves."""
    with g.connect() as connection:
        body = json.dumps({"input": "x" * draw.choice([1, 5000])}).encode()
        wanted = draw.choice(["200", "events", "cut"])
        data = head(length=len(body), content_type="application/json", x_do=wanted) + body
        connection.sendall(data[: draw.choice([draw.randrange(len(data)), len(data)])])
        connection.settimeout(draw.choice([0.01, 0.1]))
        try:
            connection.recv(100)
        except OSError:
            pass


@pytest.mark.slow
def test_kinds_of_requests_together(gateway):
    """Each gets its own account, ids and answer; the seed is printed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    kinds = "consumer sealed cookie carrier cut 404 events again page small plain http2 leave".split()
    fields = settings(sealed_ids="seal", cooldowns=[], carrier_header="x-pin")
    g = gateway(fields, server=REDIRECTS + SMALL)
    g.upstream.answer = answer
    wrong, right, ended = [], [], threading.Event()

    def ask(number):
        draw = random.Random(seed + number)
        with client() as own, client(http2=True) as other:
            while not ended.is_set() and not wrong:
                kind, account = draw.choice(kinds), draw.choice(ACCOUNTS)
                if kind == "leave":
                    leave(g, draw)
                    continue
                path, headers, body = request_of(kind, account, draw)
                content = iter([b"x" * 2000]) if kind == "small" else body
                via = other if kind == "http2" else own
                try:
                    got = via.request("POST", g.url + path, headers=encoded(headers), content=content)
                except httpx2.TransportError:
                    # It was cut, or an old worker closed the connection.
                    continue
                if is_right(kind, account, got):
                    right.append(kind)
                else:
                    wrong.append((kind, account, got.status_code, got.headers, got.text[:300]))

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not wrong:
        time.sleep(2)
        g.envoy.reload()
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert set(right) == set(kinds) - {"leave", "cut"}
