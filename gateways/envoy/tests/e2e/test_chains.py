"""Two gateways in a row: the cookies of the other that each one removes."""

import pytest
from gateway import ACCOUNTS, client, settings
from stack import module_filter

PAIRS = 40
WARNING = "If another tokenpin gateway in front of or behind this one made it"


def outer_settings(scope):
    """A gateway in front that chooses among regions, by a header that no part of the test reads."""
    regions = [{"name": name, "headers": [{"name": "x-region", "value": name}]} for name in ("east", "west", "south")]
    fields = {"tokens": regions, "consumer": None, "session": None, "response_header": "x-outer"}
    return settings(**fields, **({"scope": scope} if scope else {}))


def outer_filter(fields):
    return {"name": "outer", "typed_config": module_filter(fields, "outer", metrics="outer")}


def in_one_envoy(gateways, scope):
    g = gateways()
    g.configure(filters=[outer_filter(outer_settings(scope))])
    g.start(settings())
    return g, g, lambda: g.envoy.metrics("outer")["foreign_cookies"]


def in_two_envoys(gateways, scope):
    inner, outer = gateways(), gateways()
    inner.configure()
    inner.start(settings())
    outer.configure(upstream_port=inner.envoy.port)
    outer.start(outer_settings(scope))
    return inner, outer, lambda: outer.counters()["foreign_cookies"]


@pytest.mark.parametrize("chain", [in_one_envoy, in_two_envoys], ids=["one", "two"])
@pytest.mark.parametrize("scope", ["", "outer"], ids=["wrong", "right"])
def test_two_in_a_row(gateways, chain, scope):
    inner, outer, foreign = chain(gateways, scope)
    lost, jars = 0, []
    for _ in range(PAIRS):
        made = outer.send()
        jar = "; ".join(line.split(";")[0] for line in made.values("set-cookie"))
        jars.append(jar.count("__Host-tokenpin"))
        read = outer.send("GET", "/v1/files/file_1", headers=[("cookie", jar)])
        lost += read.account != made.account
    log = outer.envoy.log()
    if scope:
        assert lost == 0 and set(jars) == {2}, "a cookie of each"
        assert foreign() == 0 and WARNING not in log
    else:
        # The chance that none fails is (1/3)^40.
        assert lost > 0 and set(jars) == {1}
        assert foreign() == 2 * PAIRS, "with each answer of the one behind"
        assert log.count(WARNING) == 1
        assert "the upstream's own cookie named __Host-tokenpin" in log
        assert {request.account for request in inner.upstream.requests} == set(ACCOUNTS)


def test_two_side_by_side(gateways):
    """Two gateways on one host without scopes overwrite each other's cookie; each logs it."""
    keys = [{"id": 1, "role": "sign", "key": {"env": "COOKIE_KEY_2"}}]
    one, two = gateways(), gateways()
    for g, fields in ((one, {}), (two, {"cookie_keys": keys})):
        g.configure()
        g.start(settings(**fields))
    for number in range(10):
        first, second = (one, two) if number % 2 else (two, one)
        begun = first.begin()
        with client() as own:
            answer = second.send("GET", cookie=begun.cookie, via=own)
        assert answer.decision["verdict"] == "bad_tag"
    for g in (one, two):
        assert g.counters()["foreign_cookies"] == 5
        assert g.envoy.log().count(WARNING) == 1
        assert "that no key of this configuration made (bad_tag)" in g.envoy.log()
