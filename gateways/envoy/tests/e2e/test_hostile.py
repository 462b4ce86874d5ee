"""Hostile requests. After each, the next normal request gets the right answer."""

import random

import pytest
import tokenpin_twin as twin
from gateway import CONSUMER, COOKIE, SESSION, forge, settings

OURS = f"{COOKIE}="


def cookies(*fields):
    return [("Cookie", field) for field in fields]


def many(count, make):
    return [make(number) for number in range(count)]


# Name: header fields of an HTTP/1.1 request, sent unchanged.
REQUESTS = {
    "8 KB of headers": many(8, lambda n: (f"x-{n}", "v" * 1000)),
    "60 KB of headers": many(60, lambda n: (f"x-{n}", "v" * 1000)),
    "one header of 60 KB": [("x", "v" * 60000)],
    "too many bytes of headers": many(100, lambda n: (f"x-{n}", "v" * 1000)),
    "too many headers": many(2000, lambda n: (f"x{n}", "")),
    "seventy other cookies": cookies("; ".join(many(70, lambda n: f"c{n}=v"))),
    "seventy of our cookies": cookies("; ".join(many(70, lambda n: OURS + forge("bravo")))),
    "seventy fields": cookies(*many(70, lambda n: f"c{n}=v; {OURS}{n}")),
    "ten thousand empty pairs": cookies(";" * 10000 + OURS),
    "a value of 4096 bytes": cookies(OURS + "A" * 4096, f"a={'b' * 4096}"),
    "a value of 50 KB": cookies(OURS + "A" * 50000),
    "quotes": cookies(f'{OURS}"{forge("bravo")}"; a="b; c"; {OURS}"; "'),
    "tabs": cookies(f"\t{COOKIE}\t=\t{forge('bravo')}\t;\ta=1\t"),
    "non-ASCII": cookies(f"\xe4=\xff; {OURS}\xfc\x80; a=\xc3\xa4"),
    "an empty field": cookies(""),
    "only our name": cookies(COOKIE),
    "only an equals sign": cookies("="),
    "duplicate names": cookies(f"{OURS}a; {OURS}a; {OURS}; {OURS}"),
    "a huge consumer": [(CONSUMER, "c" * 50000)],
    "an empty consumer": [(CONSUMER, "")],
    "a consumer of blanks": [(CONSUMER, " \t ")],
    "non-ASCII keys": [(CONSUMER, "\xff\xfe"), (SESSION, "\x80")],
    "ninety consumers": many(90, lambda n: (CONSUMER, f"c{n}")),
    "ninety session keys": many(90, lambda n: (SESSION, f"s{n}")),
    "a carrier of 50 KB": [("x-pin", "A" * 50000)],
    "two carriers": [("x-pin", forge("alpha")), ("x-pin", forge("bravo"))],
    "a non-ASCII carrier": [("x-pin", "\xff" * 67)],
    "a long tenant": [("x-tenant", "t" * 5000)],
    "the tokens' headers": [("authorization", "Bearer a"), ("authorization", "Bearer b")],
    "a NUL": [("x-a", "a\0b"), ("cookie", f"a=\0; {OURS}x")],
    "a bare CR": [("cookie", f"a=1\r{OURS}x")],
    "a folded field": [("cookie", f"a=1;\r\n {OURS}x")],
    "a space before the colon": [("cookie ", OURS)],
    "two lengths": [("content-length", "1"), ("content-length", "2")],
    "length and chunks": [("content-length", "5"), ("transfer-encoding", "chunked")],
}

TARGETS = {
    "an empty path segment": "//v1//responses//",
    "a long path": "/" + "v1/responses/" * 600,
    "escapes": "/v1%2Fresponses/%00%ff",
    "dots": "/a/../../v1/responses/..",
    "a query": "/v1/responses?" + "a" * 5000,
    "a fragment": "/v1/responses#x",
    "non-ASCII": "/v1/responses/\xff",
    "absolute": "http://gateway/v1/responses",
}

METHODS = ["get", "CONNECT", "TRACE", "PRI", "A" * 300, "M-SEARCH", "PURGE"]

CONFIGURATION = settings(
    carrier_header="x-pin",
    tenant={"header": "x-tenant"},
    id_hint={"header": "x-client"},
    keyed_cookies=True,
)
LIMITS = {"max_request_headers_kb": 96}


def head(method="GET", target="/v1/files", fields=()):
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway", *[f"{n}: {v}" for n, v in fields]]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def pairs_of(g):
    """The cookies that the upstream got, as (name, value)."""
    fields = g.upstream.last().values("cookie")
    return [twin.split_pair(pair) for field in fields for pair in field.split(b";")]


def survived(g, what, asked):
    """Checks that the gateway is alive and right, and has stripped every request that it passed."""
    assert g.alive(), f"Envoy died of {what}"
    for request in g.upstream.requests[asked:]:
        for field in request.values("cookie"):
            values = twin.values_of(field, COOKIE.encode())
            assert not values, f"{what}: the upstream got {field!r}"
        assert request.values("x-pin") == [], what
        assert request.account is not None, f"{what}: no token's credential"
    answer = g.send(cookie=forge("bravo"), headers=[("cookie", "theme=dark")])
    assert (answer.status, answer.account, answer.outcome) == (200, "bravo", "pinned"), what
    # A request whose client has left can come after it.
    cookies = [request.values("cookie") for request in g.upstream.requests[asked:]]
    assert [b"theme=dark"] in cookies, what


@pytest.mark.smoke
def test_hostile_headers(gateway):
    g = gateway(CONFIGURATION, **LIMITS)
    for what, fields in REQUESTS.items():
        asked = len(g.upstream.requests)
        answer = g.raw(head(fields=fields))
        assert answer is None or answer.status in (200, 400, 431), f"{what}: {answer}"
        survived(g, what, asked)


@pytest.mark.smoke
def test_hostile_targets_and_methods(gateway):
    g = gateway(CONFIGURATION, **LIMITS)
    for what, target in TARGETS.items():
        asked = len(g.upstream.requests)
        answer = g.raw(head("POST", target, [("Content-Length", "0")]))
        assert answer is None or answer.status in (200, 400), f"{what}: {answer}"
        survived(g, what, asked)
    for method in METHODS:
        asked = len(g.upstream.requests)
        answer = g.raw(head(method))
        assert answer is None or answer.status < 500, f"{method}: {answer}"
        survived(g, method, asked)
    for data in (
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02",
        head()[:-2],
        b"GET /v1/files HTTP/1.0\r\n\r\n",
    ):
        asked = len(g.upstream.requests)
        with g.connect() as connection:
            connection.sendall(data)
        survived(g, data, asked)


@pytest.mark.smoke
def test_hostile_http2(gateway):
    g = gateway(CONFIGURATION, **LIMITS)
    for what, fields in REQUESTS.items():
        asked = len(g.upstream.requests)
        lower = [(name.lower(), value) for name, value in fields]
        (answer,) = g.multiplex(lower)
        assert answer is None or answer.status in (200, 400, 431), f"{what}: {answer}"
        survived(g, what, asked)
    for what, target in TARGETS.items():
        asked = len(g.upstream.requests)
        g.multiplex([(":path", target)])
        survived(g, what, asked)


def test_expected_answers_to_some(gateway):
    """Checks the answers to rows of the table, where only one answer is right."""
    g = gateway(CONFIGURATION, **LIMITS)

    def served(name):
        with g.counting() as rose:
            answer = g.raw(head(fields=REQUESTS[name]))
        assert answer.status == 200, name
        return answer, rose

    for name in ("60 KB of headers", "one header of 60 KB", "seventy other cookies"):
        assert served(name)[0].outcome == "placed"
    for name in ("quotes", "tabs", "seventy of our cookies"):
        answer, _ = served(name)
        assert (answer.outcome, answer.account) == ("pinned", "bravo"), name
    assert served("seventy other cookies") and len(pairs_of(g)) == 70
    assert served("a huge consumer")[0].decision["key_reason"] == "too_long"
    assert served("ninety consumers")[0].decision["key_reason"] == "several_values"
    assert served("ninety session keys")[0].decision["key_reason"] == "several_values"
    assert served("a value of 50 KB")[0].decision["verdict"] == "malformed"
    assert served("non-ASCII keys")[0].decision["source"] == "consumer"
    assert served("a consumer of blanks")[0].decision["source"] == "minted"


@pytest.mark.smoke
def test_random_cookie_fields(gateway):
    """Compares reading and stripping with a second implementation. Prints the seed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    g = gateway()
    values = [forge(account, age=age) for age, account in enumerate(("alpha", "bravo", "charlie"))]
    pieces = [";", ";", "; ", "=", " ", "\t", '"', ",", "a", "b=c", COOKIE, OURS, "\xe9", *values]
    for _ in range(250):
        field = "".join(draw.choice(pieces) for _ in range(draw.randrange(1, 14)))
        answer = g.raw(head(fields=[("Cookie", field)]))
        assert answer.status == 200, repr(field)
        # Envoy removes the blanks around a field.
        sent = field.strip(" \t").encode("latin-1")
        stripped = twin.strip_field(sent, COOKIE.encode())
        expected = [] if stripped in (None, b"") else [stripped.strip(b" ")]
        got = [value for value in g.upstream.last().values("cookie") if value]
        assert got == expected, repr(field)
        found = [value.decode("latin-1") for value in twin.values_of(sent, COOKIE.encode())]
        usable = [value for value in found if value in values]
        verdict = "valid" if usable else "malformed" if found else "absent"
        assert answer.decision["verdict"] == verdict, repr(field)
        if usable:
            oldest = max(usable, key=values.index)
            assert answer.account == ("alpha", "bravo", "charlie")[values.index(oldest)], repr(field)
