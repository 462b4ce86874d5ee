"""Credentials: the headers of a token that the upstream sees."""

import pytest
import tokenpin_twin as twin
from gateway import (
    ACCOUNTS,
    LOGGED_NEVER,
    PLACEMENT_KEY,
    access_log,
    consumer_of,
    credential,
    forge,
    home,
    lines_of,
    opened,
    route,
    settings,
    token,
    tokens,
)
from stack import Refused, cluster, replace_file, wait_for
from upstream import Upstream, answering


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
        # A client that names a cluster itself does not choose one.
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
    g.configure(routes=[route(cluster="other", headers=match)], clusters=[cluster("other", other.port)])
    g.start(settings(tokens=present, clear_route_cache=True))
    g.send(cookie=forge("alpha"))
    g.send(cookie=forge("bravo"))
    assert (len(g.upstream.requests), len(other.requests)) == (1, 1)
    # Without clear_route_cache the request keeps the route that it came with.
    g.update(settings(tokens=present))
    g.send(cookie=forge("bravo"))
    assert (len(g.upstream.requests), len(other.requests)) == (2, 1)
    other.close()


@pytest.mark.smoke
def test_a_header_that_is_removed(gateway):
    """The client's own credential does not reach a provider that takes another header."""
    keys = [
        {
            "name": name,
            "headers": [
                {"name": "api-key", "value": f"key-{name}"},
                *([{"name": "Authorization", "remove": True}] if name == "alpha" else []),
            ],
        }
        for name in ACCOUNTS
    ]
    g = gateway(settings(tokens=keys))
    mine = [("authorization", "Bearer mine"), ("Authorization", "Basic mine"), ("api-key", "mine")]
    for name in ACCOUNTS:
        for headers in (mine, []):
            g.send(cookie=forge(name), headers=headers)
            request = g.upstream.last()
            # No token lets the header of another token pass, so one that names it is enough.
            assert request.values("authorization") == []
            assert request.values("api-key") == [f"key-{name}".encode()]


PSEUDO = {":authority": "alpha.example.com", ":path": "/alpha/v1?key=1", ":scheme": "https"}


@pytest.mark.parametrize("retried", [False, True], ids=["", "retried"])
def test_pseudo_headers(gateway, folder, retried):
    """Envoy sends the pseudo-headers of the token. Requests of other tokens keep the client's."""
    headers = [{"name": name, "value": value} for name, value in PSEUDO.items()]
    log = access_log(folder, [])
    line = " ".join(f"%REQ({name.upper()})%" for name in PSEUDO)
    log[0]["typed_config"]["log_format"]["text_format_source"]["inline_string"] = line + "\n"
    present = tokens(alpha={"headers": headers}, charlie={"state": "down"})
    g = gateway(settings(tokens=present, retry={"status": [429]}, cooldowns=[]), access_log=log)
    own = f"127.0.0.1:{g.envoy.port}"
    expected = {"alpha": " ".join(PSEUDO.values()), "bravo": f"{own} /v1/responses http"}
    number = 0
    for name in ("alpha", "bravo"):
        if retried:
            # The retry on the other token has the client's pseudo-headers.
            for _ in range(60):  # the chance to miss is 2^-60
                g.upstream.script[:] = [answering(429)]
                answer = g.send(cookie="junk", body=b"")  # it keeps cookies, so it may move
                number += 2
                if answer.decision["slot"] == str(ACCOUNTS.index(name)):
                    break
        else:
            g.send(cookie=forge(name))
            number += 1
        assert lines_of(folder, number)[-1] == expected[name]
        path = PSEUDO[":path"] if name == "alpha" else "/v1/responses"
        host = PSEUDO[":authority"] if name == "alpha" else own
        assert g.upstream.last().target == path
        assert g.upstream.last().values("host") == [host.encode()]


def test_which_pseudo_headers(gateway):
    for name in (":method", ":status", ":x", ":Path", "::path"):
        present = tokens(alpha={"headers": [{"name": name, "value": "/"}]})
        message = r"headers\[0\]\.name: expected a header's name, or :authority, :path or :scheme"
        with pytest.raises(Refused, match=message):
            gateway(settings(tokens=present))


@pytest.mark.smoke
def test_secret_files_are_read_again(gateway, folder):
    """A changed file takes effect while requests run, whole; a bad one keeps the old secret."""
    path = folder / "secret"
    path.write_text("sk-1-fleeting\n")
    header = {"name": "authorization", "prefix": "Bearer ", "file": str(path)}
    g = gateway(settings(tokens=[{"name": "alpha", "headers": [header]}, token("bravo")]))
    LOGGED_NEVER.update(f"sk-{number}-fleeting" for number in range(1, 9))
    begun = forge("alpha")

    def sent():
        assert g.send(cookie=begun).status == 200
        return g.upstream.last().value("authorization").decode()

    assert sent() == "Bearer sk-1-fleeting"
    for number in range(2, 5):
        replace_file(path, f"sk-{number}-fleeting\n")
        wait_for("the new secret", lambda n=number: sent() == f"Bearer sk-{n}-fleeting")
    for refused, text in enumerate(("", "\n", "sk-5-fleeting\n\n", "sk-6-fleeting\x07"), 1):
        replace_file(path, text)
        wait_for("the refusal", lambda n=refused: g.counters()["secrets_refused"] == n)
        assert sent() == "Bearer sk-4-fleeting"
    path.unlink()
    wait_for("the refusal", lambda: g.counters()["secrets_refused"] == 5)
    assert sent() == "Bearer sk-4-fleeting"
    # As Kubernetes does it: a symbolic link changes.
    for number in (7, 8):
        (folder / str(number)).write_text(f"sk-{number}-fleeting")
        (folder / "link").symlink_to(str(number))
        (folder / "link").replace(path)
        wait_for("the new secret", lambda n=number: sent() == f"Bearer sk-{n}-fleeting")
    counters = g.counters()
    assert (counters["secrets_applied"], counters["secrets_refused"]) == (5, 5)
    log = g.envoy.log()
    assert log.count("secrets applied: token alpha") == 5
    assert log.count("those of token alpha stay as they are: authorization: ") == 5


def test_authority(gateway):
    present = tokens(alpha={"headers": [{"name": ":authority", "value": "alpha.example.com"}]})
    g = gateway(settings(tokens=present))
    g.send(cookie=forge("alpha"))
    assert g.upstream.last().values("host") == [b"alpha.example.com"]
    g.send(cookie=forge("bravo"))
    assert g.upstream.last().values("host") == [f"127.0.0.1:{g.envoy.port}".encode()]


def test_slots_and_growth(gateway):
    """Filling a vacant slot moves consumers only to the new token, and moves no cookie."""
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
