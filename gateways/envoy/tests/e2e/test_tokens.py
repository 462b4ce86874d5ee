"""Credentials: what of a token the upstream sees."""

import pytest
import tokenpin_twin as twin
from gateway import (
    ACCOUNTS,
    PLACEMENT_KEY,
    consumer_of,
    credential,
    forge,
    home,
    opened,
    route,
    settings,
    token,
    tokens,
)
from stack import Refused, cluster
from upstream import Upstream


def value(account):
    return f"Bearer {credential(account)}".encode()


@pytest.mark.smoke
def test_several_headers(gateway):
    present = tokens()
    present[0]["headers"] += [
        {"name": "openai-organization", "value": "org-alpha"},
        {"name": "x-only-alpha", "prefix": "key ", "env": "TOKEN_ALPHA"},
    ]
    present[1]["headers"] += [{"name": "OpenAI-Organization", "value": "org-bravo"}]
    g = gateway(settings(tokens=present))
    expected = {
        "alpha": ([b"org-alpha"], [f"key {credential('alpha')}".encode()]),
        "bravo": ([b"org-bravo"], []),
        "charlie": ([], []),
    }
    clients = [
        ("authorization", "Bearer mine"),
        ("authorization", "Bearer mine too"),
        ("openai-organization", "org-mine"),
        ("x-only-alpha", "mine"),
        ("x-other", "stays"),
    ]
    for account, (organization, only) in expected.items():
        for headers in (clients, []):
            assert g.send(cookie=forge(account), headers=headers).account == account
            request = g.upstream.last()
            assert request.values("authorization") == [value(account)]
            assert request.values("openai-organization") == organization
            assert request.values("x-only-alpha") == only
            assert request.values("x-other") == ([b"stays"] if headers else [])


def test_a_credential_from_a_file(gateway, folder):
    path = folder / "secret"
    for text, sent in {"s3cret\n": b"s3cret", "s3cret\r\n": b"s3cret", "a\n\n": None}.items():
        path.write_text(text)
        header = {"name": "authorization", "prefix": "Bearer ", "file": str(path)}
        one = {"name": "alpha", "headers": [header]}
        if sent is None:
            with pytest.raises(Refused, match=r"refused: tokens\[0\]\.headers\[0\]"):
                gateway(settings(tokens=[one, token("bravo")]))
            continue
        g = gateway(settings(tokens=[one, token("bravo")]))
        g.send(cookie=forge("alpha"))
        assert g.upstream.last().values("authorization") == [b"Bearer " + sent]


def test_keys_from_files(gateway, folder):
    key = folder / "placement"
    key.write_text(PLACEMENT_KEY.hex() + "\n")
    g = gateway(settings(placement_key={"file": str(key)}))
    for name in ("alice", "bob", "carol"):
        assert g.send(consumer=name).account == home(twin.consumer_key(name.encode()))


def test_a_new_secret_under_the_same_name_moves_nobody(gateway):
    g = gateway()
    begun = g.begin("alpha")
    present = tokens()
    present[0]["headers"] = [{"name": "authorization", "value": "Bearer rotated"}]
    g.update(settings(tokens=present))
    answer = g.send(cookie=begun.cookie)
    assert answer.outcome == "pinned"
    assert g.upstream.last().value("authorization") == b"Bearer rotated"


@pytest.mark.smoke
def test_a_token_that_chooses_its_cluster(gateways):
    g = gateways()
    other = Upstream(g.upstream.accounts)
    present = tokens()
    for number, each in enumerate(present):
        name = "upstream" if number == 0 else "other"
        each["headers"].append({"name": "x-cluster", "value": name})
    by_header = route("/", route={"cluster_header": "x-cluster"})
    g.configure(routes=[by_header], clusters=[cluster("other", other.port)])
    g.start(settings(tokens=present, clear_route_cache=True))
    for account in ACCOUNTS:
        # Not even a client that names a cluster itself chooses one.
        answer = g.send(cookie=forge(account), headers=[("x-cluster", "upstream")])
        assert (answer.status, answer.account) == (200, account)
    assert [request.account for request in g.upstream.requests] == ["alpha"]
    assert [request.account for request in other.requests] == ["bravo", "charlie"]
    other.close()


def test_a_token_that_chooses_its_route(gateways):
    g = gateways()
    other = Upstream(g.upstream.accounts)
    present = tokens(bravo={"headers": [{"name": "x-provider", "value": "other"}]})
    match = [{"name": "x-provider", "string_match": {"exact": "other"}}]
    g.configure(
        routes=[route(cluster="other", headers=match)], clusters=[cluster("other", other.port)]
    )
    g.start(settings(tokens=present, clear_route_cache=True))
    g.send(cookie=forge("alpha"))
    g.send(cookie=forge("bravo"))
    assert (len(g.upstream.requests), len(other.requests)) == (1, 1)
    # Without clear_route_cache the route stays the one that the request came with.
    g.update(settings(tokens=present))
    g.send(cookie=forge("bravo"))
    assert (len(g.upstream.requests), len(other.requests)) == (2, 1)
    other.close()


def test_authority(gateway):
    present = tokens(alpha={"headers": [{"name": ":authority", "value": "alpha.example.com"}]})
    g = gateway(settings(tokens=present))
    g.send(cookie=forge("alpha"))
    assert g.upstream.last().values("host") == [b"alpha.example.com"]
    g.send(cookie=forge("bravo"))
    assert g.upstream.last().values("host") == [f"127.0.0.1:{g.envoy.port}".encode()]


def test_slots_and_growth(gateway):
    """Filling a vacant slot moves consumers only to the new token, and no cookie."""
    few = [token("alpha", slot=3), token("bravo", slot=0), token("charlie", slot=2)]
    g = gateway(settings(tokens=few, capacity=6))
    layout = {0: "bravo", 2: "charlie", 3: "alpha"}
    slots = [twin.Slot(layout[i].encode()) if i in layout else twin.Slot() for i in range(6)]
    names = [f"reader-{number}" for number in range(60)]
    before = {name: g.send("GET", "/v1/files", consumer=name).account for name in names}
    for name in names:
        assert before[name] == home(twin.consumer_key(name.encode()), slots=slots)
    begun = [g.begin() for _ in range(10)]
    g.update(settings(tokens=[*few, token("delta", slot=5)], capacity=6))
    after = {name: g.send("GET", "/v1/files", consumer=name).account for name in names}
    moved = {after[name] for name in names if after[name] != before[name]}
    assert moved == {"delta"}
    for answer in begun:
        assert g.send(cookie=answer.cookie).account == answer.account


def test_weights(gateway):
    g = gateway(settings(tokens=tokens(bravo={"weight": 0}, charlie={"weight": 16384})))
    accounts = [g.begin().account for _ in range(100)]
    assert "bravo" not in accounts
    # Chance leaves less than 50 of 100 at 4/5 with a probability below 1e-10.
    assert accounts.count("alpha") >= 50 and "charlie" in accounts
    assert g.send(cookie=forge("bravo")).account == "bravo", "a pin does not ask for the weight"
    assert g.send(consumer=consumer_of("bravo")).account != "bravo"


def test_a_token_without_headers(gateway):
    """Its requests go out without any token's credentials."""
    g = gateway(settings(tokens=[token("alpha"), {"name": "bravo"}]))
    g.send(cookie=forge("bravo"), headers=[("authorization", "Bearer mine")])
    assert g.upstream.last().values("authorization") == []
    assert opened(g.send(cookie=forge("gone")).cookie)[1] in ("alpha", "bravo")
