"""Routes with their own configuration."""

import pytest
import tokenpin_twin as twin
from gateway import COOKIE, credential, forge, route, settings, tokens
from stack import Refused, module_route, no_module_route
from upstream import answering


def own(prefix, fields):
    return route(prefix, typed_per_filter_config=module_route(fields))


@pytest.mark.smoke
def test_overlay(gateway):
    down = settings(tokens=tokens(alpha={"state": "down"}))
    routes = [
        own("/stateless/", {"group": "stateless"}),
        own("/existing/", {"existing": {"header": "x-existing"}}),
        own("/nothing/", {}),
    ]
    g = gateway(down, routes=routes)
    cookie = forge("alpha")
    stateless = g.send(path="/stateless/v1/responses", cookie=cookie)
    assert stateless.decision["source"] == "stateless" and stateless.cookie is None
    assert g.upstream.last().values("cookie") == [], "stripped there too"
    header = [("x-existing", "1")]
    assert g.send(path="/existing/v1/responses", headers=header, cookie=cookie).status == 503
    assert g.send(path="/existing/v1/responses", cookie=cookie).outcome == "repinned"
    for path in ("/nothing/v1/responses", "/v1/responses"):
        assert g.send(path=path, headers=header, cookie=cookie).outcome == "repinned"


@pytest.mark.smoke
def test_disabled(gateway):
    g = gateway(routes=[route("/off/", typed_per_filter_config=no_module_route())])
    cookie = forge("alpha")
    headers = [("authorization", "Bearer mine")]
    with g.counting() as rose:
        answer = g.send(path="/off/v1/responses", headers=headers, cookie=cookie)
    assert answer.decision == {} and answer.cookie is None and rose == {}
    request = g.upstream.last()
    assert request.values("authorization") == [b"Bearer mine"]
    assert request.values("cookie") == [f"{COOKIE}={cookie}".encode()]
    assert g.send(cookie=cookie).account == "alpha"


@pytest.mark.smoke
def test_without_a_configuration_of_the_filter(gateway):
    """The filter's configuration may be empty. Then only routes with their own are served."""
    g = gateway({}, routes=[own("/with/", settings())])
    cookie = forge("bravo")
    passed = g.send(headers=[("authorization", "Bearer mine")], cookie=cookie)
    assert passed.decision == {} and passed.cookie is None
    assert g.upstream.last().values("authorization") == [b"Bearer mine"]
    assert g.upstream.last().values("cookie") == [f"{COOKIE}={cookie}".encode()]
    with g.counting() as rose:
        served = g.send(path="/with/v1/responses", cookie=cookie)
    assert (served.outcome, served.account) == ("pinned", "bravo")
    assert rose["outcome_pinned"] == 1, "in the filter's counters"
    assert g.upstream.last().values("authorization") == [f"Bearer {credential('bravo')}".encode()]


def test_the_most_specific_one_counts(gateways):
    """A weighted cluster counts before a route, and a route before a virtual host."""
    g = gateways()

    def scope(name):
        return {"typed_per_filter_config": module_route({"scope": name})}

    weighted = {"clusters": [{"name": "upstream", "weight": 1, **scope("cluster")}]}
    split = {"match": {"prefix": "/cluster/"}, "route": {"weighted_clusters": weighted}}
    g.configure(routes=[own("/route/", {"scope": "route"}), {**split, **scope("route")}])
    listener = g.envoy.configuration["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0].update(scope("host"))
    g.start(settings(scope="filter"))
    for where in ("host", "route", "cluster"):
        line = g.send(path=f"/{where}/v1/responses").value("set-cookie")
        assert line.startswith(twin.default_name(where.encode()).decode() + "="), where


def test_a_complete_configuration_has_its_own_cooldowns(gateway):
    down = [{"status": [401], "state": "down", "seconds": 300}]
    g = gateway(settings(cooldowns=down), routes=[own("/own/", settings(cooldowns=down))])
    cookie = forge("alpha")
    g.upstream.script.append(answering(401))
    assert g.send(path="/own/v1/responses", cookie=cookie).status == 401
    assert g.send(path="/own/v1/responses", cookie=cookie).outcome == "repinned"
    assert g.send(cookie=cookie).outcome == "pinned"


def test_an_update_of_the_filter_leaves_a_routes_configuration(gateway):
    g = gateway(routes=[own("/own/", settings(tokens=tokens("delta", "alpha")))])
    g.update(settings(tokens=tokens("charlie")))
    assert g.send(path="/own/v1/responses", cookie=forge("delta")).account == "delta"
    assert g.send(cookie=forge("delta")).account == "charlie"


BAD = {
    "a field of the filter": ({"strategy": "jump"}, "strategy"),
    "an unknown field": ({"groups": "stateless"}, "groups"),
    "a wrong value": ({"group": "sticky"}, "group"),
    "incomplete with tokens": ({"tokens": tokens()}, "placement_key"),
    "a scope that is too long": ({"scope": "s" * 1025}, "scope"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_configuration_of_a_route_is_refused(gateway, case):
    fields, path = BAD[case]
    with pytest.raises(Refused, match=rf"tokenpin: route configuration refused: {path}\b"):
        gateway(routes=[own("/own/", fields)])
