"""Several sets of accounts behind one host."""

import json

import pytest
import tokenpin_twin as twin
from gateway import CONSUMER, forge, home, opened, route, settings, tokens
from stack import module_route


def name_of(scope):
    return twin.default_name(scope).decode()


def jar_of(answer):
    """The Set-Cookie of an answer as the client would send it back."""
    return answer.value("set-cookie").partition(";")[0]


@pytest.mark.smoke
def test_two_scopes_on_one_host(gateway):
    scopes = {"/openai/": b"openai", "/azure/": b"azure"}
    routes = [
        route(prefix, typed_per_filter_config=module_route({"scope": scope.decode()}))
        for prefix, scope in scopes.items()
    ]
    g = gateway(routes=routes)
    paths = {prefix: f"{prefix}v1/responses" for prefix in scopes}
    for _ in range(5):
        begun = {prefix: g.send(path=path) for prefix, path in paths.items()}
        for prefix, scope in scopes.items():
            made, account = opened(begun[prefix].cookie, name=name_of(scope), scope=scope)
            assert account == begun[prefix].account
            assert begun[prefix].value("set-cookie").startswith(name_of(scope) + "=")
        both = [("cookie", "; ".join(jar_of(answer) for answer in begun.values()))]
        for prefix, path in paths.items():
            answer = g.send(path=path, headers=both)
            assert (answer.outcome, answer.account) == ("pinned", begun[prefix].account)
            assert answer.decision["verdict"] == "valid" and answer.cookie is None
            # The other scope's cookie has another name, unknown to this configuration.
            (left,) = g.upstream.last().values("cookie")
            assert name_of(scopes[prefix]).encode() not in left
    # A cookie of the other scope, renamed.
    stolen = begun["/azure/"].cookie
    with g.counting() as rose:
        headers = [("cookie", f"{name_of(b'openai')}={stolen}")]
        refused = g.send(path=paths["/openai/"], headers=headers)
    assert refused.decision["verdict"] == "bad_tag"
    assert rose["verdict_bad_tag"] == 1


@pytest.mark.smoke
def test_tenants_from_a_header(gateway):
    g = gateway(settings(scope="openai", tenant={"header": "x-tenant"}))
    begun = {}
    for tenant in ("red", "blue"):
        scope = b"openai\0" + tenant.encode()
        begun[tenant] = g.send(headers=[("x-tenant", tenant)])
        opened(begun[tenant].cookie, name=name_of(scope), scope=scope)
        consumer = g.send(headers=[("x-tenant", tenant)], consumer="alice")
        assert consumer.account == home(twin.consumer_key(b"alice"), scope)
    jar = "; ".join(jar_of(answer) for answer in begun.values())
    for tenant, first in begun.items():
        answer = g.send(headers=[("x-tenant", tenant), ("cookie", jar)])
        assert (answer.outcome, answer.account) == ("pinned", first.account)
        assert g.upstream.last().values("x-tenant") == [tenant.encode()]
    # Without a tenant the configured scope counts.
    plain = g.send()
    opened(plain.cookie, name=name_of(b"openai"), scope=b"openai")


def test_a_tenant_without_a_scope(gateway):
    g = gateway(settings(tenant={"header": "x-tenant"}))
    answer = g.send(headers=[("x-tenant", "red")])
    opened(answer.cookie, name=name_of(b"\0red"), scope=b"\0red")


def test_bad_tenant(gateway):
    g = gateway(settings(tenant={"header": "x-tenant"}))
    two = [("x-tenant", "red"), ("x-tenant", "blue")]
    for headers in (two, [("x-tenant", "r" * 1024)]):
        answer = g.send(headers=headers)
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["code"] == "bad_tenant"
    assert not g.upstream.requests
    assert g.send(headers=[("x-tenant", "r" * 1023)]).status == 200


def test_a_configured_name_serves_all_scopes(gateway):
    """The scopes overwrite each other's cookies, but none accepts another's."""
    name = "__Host-tokenpin-all"
    g = gateway(settings(cookie={"name": name}, tenant={"header": "x-tenant"}))
    red = g.send(headers=[("x-tenant", "red")])
    assert red.value("set-cookie").startswith(f"{name}=")
    blue = g.send(headers=[("x-tenant", "blue"), ("cookie", f"{name}={red.cookie}")])
    assert blue.decision["verdict"] == "bad_tag"
    opened(blue.cookie, name=name, scope=b"\0blue")


def test_a_route_with_tokens_of_its_own(gateway):
    complete = settings(tokens=tokens("delta"), scope="other", mint_single=True)
    own = route("/other/", typed_per_filter_config=module_route(complete))
    g = gateway(routes=[own])
    answer = g.send(path="/other/v1/responses")
    assert answer.account == "delta"
    assert opened(answer.cookie, name=name_of(b"other"), scope=b"other")[1] == "delta"
    assert g.send(cookie=forge("bravo")).account == "bravo"


@pytest.mark.parametrize("cure", [None, "tenant", "no cookies"])
def test_one_jar_for_many_users(gateway, cure):
    """A backend that keeps one jar for all its users, as docs/guides/operations.md describes it."""
    fields = {"keyed_cookies": cure != "no cookies"}
    if cure == "tenant":
        fields["tenant"] = {"header": CONSUMER}
    g = gateway(settings(**fields))
    users = [f"user-{number}" for number in range(4)]
    jar, lines, accounts = {}, 0, {user: set() for user in users}
    for _ in range(10):
        for user in users:
            pairs = "; ".join(f"{name}={value}" for name, value in jar.items())
            answer = g.send(headers=[("cookie", pairs)] if jar else [], consumer=user)
            accounts[user].add(answer.account)
            for line in answer.values("set-cookie"):
                name, value = line.split(";")[0].split("=", 1)
                jar[name] = value
                lines += 1
    assert all(len(each) == 1 for each in accounts.values())
    assert lines == {None: 40, "tenant": 4, "no cookies": 0}[cure]
    assert g.counters()["verdict_bad_tag"] == (39 if cure is None else 0)
