"""Observing changes nothing."""

import re

import pytest
from gateway import (
    COOKIE,
    DECISION,
    access_log,
    forge,
    lines_of,
    opened,
    route,
    settings,
    tokens,
)
from stack import module_route
from upstream import answering

# Headers that the filter would change or remove.
HEADERS = [
    ("Host", "gateway"),
    ("Cookie", f"a=1; {COOKIE}={{cookie}};  b=2"),
    ("Cookie", f"{COOKIE}=junk"),
    ("Authorization", "Bearer mine"),
    ("X-Consumer", "alice"),
    ("X-Pin", "carried"),
    ("X-Only-Alpha", "mine"),
    ("X-Empty", ""),
    ("Connection", "close"),
]
TARGETS = ["POST /v1/responses", "GET /v1/responses/resp_1", "POST /v1/models"]


def request(target, cookie):
    lines = [f"{target} HTTP/1.1", *[f"{n}: {v}" for n, v in HEADERS], "Content-Length: 2"]
    return ("\r\n".join(lines) + "\r\n\r\n{}").format("{}", cookie=cookie).encode()


def all_bytes(g, data):
    with g.connect() as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65536):
            received += part
    # The only header that depends on the time.
    return re.sub(rb"x-envoy-upstream-service-time: \d+\r\n", b"", received)


def observing(**fields):
    some = tokens()
    some[0]["headers"].append({"name": "x-only-alpha", "value": "1"})
    return settings(**{"tokens": some, "carrier_header": "x-pin", "observe": True, **fields})


def watched(g, status, target, cookie):
    """Returns the bytes that the upstream got, and those that the client got."""
    answer = answering(
        status,
        [
            ("set-cookie", f"{COOKIE}=evil"),
            ("set-cookie", "b=2"),
            ("x-pin", "evil"),
            ("Retry-After", "9"),
        ],
    )
    g.upstream.answer = answer
    received = all_bytes(g, request(target, cookie))
    return g.upstream.last().head, received


@pytest.mark.smoke
def test_observing_changes_nothing(gateways):
    plain, observed = gateways(), gateways()
    plain.configure(with_filter=False)
    plain.start(None)
    observed.configure()
    observed.start(observing(cache_control=True))
    cookie = forge("alpha")
    for target in TARGETS:
        for status in (200, 401, 429, 503):
            expected = watched(plain, status, target, cookie)
            with observed.counting() as rose:
                seen = watched(observed, status, target, cookie)
            assert seen[0] == expected[0], f"{target}: the upstream got something else"
            assert seen[1] == expected[1], f"{target}, {status}: the client got something else"
            assert sum(count for name, count in rose.items() if name.startswith("outcome_")) == 1
            assert "cooldowns" not in rose and "cookies_set" not in rose, rose
            assert "retries" not in rose, rose


@pytest.mark.smoke
def test_observing_refuses_nothing(gateway):
    down = {account: {"state": "down"} for account in ("alpha", "bravo", "charlie")}
    g = gateway(observing(tokens=tokens(**down)))
    with g.counting() as rose:
        assert g.send().status == 200
        assert g.send(cookie=forge("alpha"), method="GET").status == 200
    assert rose["outcome_none"] == 1 and rose["outcome_rejected"] == 1
    g.update(observing(tenant={"header": "x-tenant"}, reject_bad_keys=True))
    assert g.send(headers=[("x-tenant", "a"), ("x-tenant", "b")]).status == 200
    with g.counting() as rose:
        assert g.send(consumer="a" * 5000).status == 200
    assert rose["outcome_rejected"] == 1


def test_observing_writes_metadata(gateway, folder):
    g = gateway(observing(metadata=True), access_log=access_log(folder, ["outcome", "token"]))
    g.send(cookie=forge("bravo"))
    assert lines_of(folder) == ["pinned bravo"]


@pytest.mark.smoke
def test_observing_on_a_route(gateway):
    own = route("/observed/", typed_per_filter_config=module_route({"observe": True}))
    acting = route("/acting/", typed_per_filter_config=module_route({"observe": False}))
    g = gateway(routes=[own, acting])
    answer = g.send(path="/observed/v1/responses", cookie=forge("alpha"))
    assert answer.account == "nobody" and answer.value(DECISION) is None
    assert g.upstream.last().values("cookie") != []
    assert g.send(cookie=forge("alpha")).account == "alpha"
    g.update(settings(observe=True))
    assert g.send(cookie=forge("alpha")).account == "nobody"
    begun = g.send(path="/acting/v1/responses")
    assert opened(begun.cookie)[1] == begun.account
