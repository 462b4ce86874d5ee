"""Requests that no client sends by accident. After each, the next normal one is served right, and
all that reaches an account is a request with its own length, without sealed ids, and without what
is the gateway's.
"""

import json
import random
import socket
import zlib

import pytest
from stand import PATIENCE, client

COOKIE = "tokenpin"
OURS = f"{COOKIE}="


def many(count, make):
    return [make(number) for number in range(count)]


# Header fields of an HTTP/1.1 request, sent as they are.
FIELDS = {
    "30 KB of headers": many(30, lambda n: (f"x-{n}", "v" * 1000)),
    "too many headers": many(2000, lambda n: (f"x{n}", "")),
    "seventy of our cookies": [("cookie", "; ".join(many(70, lambda n: f"{OURS}{n}")))],
    "seventy fields": many(70, lambda n: ("cookie", f"c{n}=v; {OURS}{n}")),
    "ten thousand empty pairs": [("cookie", ";" * 10000 + OURS)],
    "quotes": [("cookie", f'{OURS}"x"; a="b; c"; {OURS}"; "')],
    "non-ASCII": [("cookie", f"\xe4=\xff; {OURS}\xfc\x80; a=\xc3\xa4")],
    "only our name": [("cookie", COOKIE)],
    "a huge consumer": [("x-consumer", "c" * 20000)],
    "ninety consumers": many(80, lambda n: ("x-consumer", f"c{n}")),
    "non-ASCII keys": [("x-consumer", "\xff\xfe"), ("x-session-id", "\x80")],
    "two carriers": [("x-affinity", "a" * 67), ("x-affinity", "b" * 67)],
    "the tokens' headers": [("authorization", "Bearer sk-alpha"), ("Authorization", "Bearer sk-bravo")],
    "a NUL": [("x-a", "a\0b"), ("cookie", f"a=\0; {OURS}x")],
    "a bare CR": [("cookie", f"a=1\r{OURS}x")],
    "a folded field": [("cookie", f"a=1;\r\n {OURS}x")],
    "a space before the colon": [("cookie ", OURS)],
    "two lengths": [("content-length", "1"), ("content-length", "2")],
    "length and chunks": [("content-length", "5"), ("transfer-encoding", "chunked")],
    "chunks of chunks": [("transfer-encoding", "chunked, chunked")],
    "an upgrade to nothing": [("connection", "upgrade"), ("upgrade", "x")],
    "types": [("content-type", "application/json"), ("content-type", "text/plain")],
    "a long type": [("content-type", "x" * 20000 + "+json")],
    "a type that is none": [("content-type", ";;,,/\xff")],
    "many codings": [("content-encoding", ",".join(["identity"] * 500))],
    "expectations": [("expect", "100-continue, 200-ok")],
    "Anthropic's version": [("anthropic-version", "\xff")],
}

TARGETS = {
    "an empty path segment": "//v1//responses//",
    "a long path": "/" + "v1/responses/" * 600,
    "escapes": "/v1%2Fresponses/%00%ff%",
    "half an escape": "/v1/responses/resp_%4",
    "dots": "/a/../../v1/responses/..",
    "a query": "/v1/responses?" + "after=a&" * 2000,
    "a query of nothing": "/v1/responses?&&==&after=&after",
    "non-ASCII": "/v1/responses/\xff",
    "absolute": "http://gateway/v1/responses",
    "another's host": "http://a:b@files/v1/responses/x?after=resp_x",
    "a star": "*",
    "what looks sealed": "/v1/responses/resp_" + "A" * 60 + "tp1",
    "a later version": "/v1/responses/resp_" + "a" * 60 + "tp7",
    "a long id": "/v1/responses/resp_" + "a" * 5000,
}

METHODS = ["get", "TRACE", "PRI", "A" * 300, "M-SEARCH", "OPTIONS"]

NESTED = 20000
BODIES = {
    "nothing": b"",
    "a lone quote": b'"',
    "deep arrays": b"[" * NESTED,
    "deep objects": b'{"input":' * NESTED,
    "deep and closed": b"[" * NESTED + b"]" * NESTED,
    "one long string": b'{"file_id":"' + b"x" * 1_000_000 + b'"}',
    "one long key": b'{"' + b"k" * 1_000_000 + b'":"resp_1"}',
    "only escapes": b'{"file_id":"' + b"\\u0066" * 5000 + b'"}',
    "bad escapes": b'{"file_id":"\\x\\u12\\uzzzz\\"}',
    "half a surrogate": b'{"previous_response_id":"\\ud800resp_1"}',
    "invalid UTF-8": b'{"previous_response_id":"\xff\xfe\xc0\x80"}',
    "NULs": b"\0" * 5000,
    "a NUL in an id": b'{"previous_response_id":"resp_\0"}',
    "ten thousand ids": json.dumps({"file_ids": [f"file-{n}" for n in range(10_000)]}).encode(),
    "the same key": b"{" + b'"previous_response_id":"resp_1",' * 5000 + b'"x":1}',
    "many documents": b'{"file_id":"file-1"}\n' * 5000,
    "events": b'data: {"previous_response_id":"resp_1"}\r\n\r\n' * 1000,
    "a byte order mark": b'\xef\xbb\xbf{"file_id":"file-1"}',
    "UTF-16": '{"file_id":"file-1"}'.encode("utf-16"),
    "compressed": zlib.compress(b'{"file_id":"file-1"}' * 100),
    "what looks sealed": b'{"previous_response_id":"resp_' + b"A" * 60 + b'tp1"}',
    "only endings": b'{"file_ids":["tp0","tp1","tp2","' + b"a" * 24 + b'tp0"]}',
    "marks": b'{"input":[{"encrypted_content":"' + b"A" * 100 + b'tp0"}]}',
    "a prompt that is an id": b'{"input":"resp_' + b"A" * 60 + b'tp1"}',
    "wrong kinds": b'{"previous_response_id":{"id":["x"]},"conversation":[[]],"file_ids":{"a":1},"input":7}',
}


def head(method="POST", target="/v1/vector_stores", fields=()):
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway", *[f"{n}: {v}" for n, v in fields]]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(body, draw):
    out = b""
    while body:
        size = min(len(body), draw.choice((1, 7, 512, 30_000)))
        out += b"%x;ext=1\r\n%s\r\n" % (size, body[:size])
        body = body[size:]
    return out + b"0\r\n\r\n"


def raw(url, data, ends=True):
    """The status of the first answer to these bytes; None if there is none."""
    address = url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
            while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
                answer += more
        except TimeoutError:
            raise
        except OSError:
            return None
    return int(answer.split(b" ", 2)[1]) if answer else None


@pytest.fixture
def survives(gateways, upstream):
    upstream.is_hostile = True
    upstream.first_read.set()

    def start(sealed_ids):
        url = gateways(sealed_ids)
        one = client(url)
        made = one.responses.create(model="demo", input="Hello.").id

        def check(what, data, statuses=range(200, 500), ends=True):
            status = raw(url, data, ends)
            assert status is None or status in statuses, f"{what}: {status}"
            assert one.responses.retrieve(made).id == made, what
            assert upstream.malformed == [], what

        return check

    return start


@pytest.mark.parametrize("sealed_ids", ["off", "seal", "strict"])
def test_hostile_heads(survives, sealed_ids):
    check = survives(sealed_ids)
    for what, fields in FIELDS.items():
        # If there is to be a body, it is an empty one in chunks.
        body = b"0\r\n\r\n" if "chunk" in what else b""
        check(what, head(fields=[*fields, ("connection", "close")]) + body, ends=False)
    for what, target in TARGETS.items():
        check(what, head("GET", target, [("connection", "close")]))
    for method in METHODS:
        # http.server has no method of that name: what it says is no fault of the gateway's.
        check(method, head(method, "/v1/responses", [("connection", "close")]), range(100, 600))
    for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02", head()[:-2], head(fields=[("content-length", "9")])):
        check(data, data)


@pytest.mark.parametrize("sealed_ids", ["off", "open", "seal", "strict"])
def test_hostile_bodies(survives, sealed_ids):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    check = survives(sealed_ids)
    for what, body in BODIES.items():
        kind = ("content-type", "application/json")
        for target in ("/v1/responses", "/v1/messages"):
            fields = [kind, ("content-length", len(body)), ("connection", "close")]
            check(what, head(target=target, fields=fields) + body)
            fields = [kind, ("transfer-encoding", "chunked"), ("connection", "close")]
            check(what, head(target=target, fields=fields) + chunked(body, draw))
            # One that breaks off.
            fields = [kind, ("content-length", len(body) + 1)]
            check(what, head(target=target, fields=fields) + body)
