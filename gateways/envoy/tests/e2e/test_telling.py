"""Metrics, metadata, the debugging header and logs, which hold no secret."""

import json
import re

import pytest
import tokenpin_twin as twin
from gateway import (
    ACCOUNTS,
    COOKIE_KEYS,
    DECISION,
    ENVIRONMENT,
    LOGGED_NEVER,
    NAMES,
    PLACEMENT_KEY,
    access_log,
    cookie_keys,
    forge,
    lines_of,
    settings,
    tokens,
)
from stack import replace_file, request, wait_for
from upstream import answering

COUNTERS = {f"{group}_{name}" for group, names in NAMES.items() for name in names} | {
    "ambiguous",
    "cookies_set",
    "cooldowns",
    "retries",
    "errors",
    "state_file_applied",
    "state_file_refused",
    "state_file_unknown",
    "bad_tenants",
    "foreign_cookies",
    "ids_opened",
    "ids_plain",
    "ids_sealed",
    "echoes_lost",
    "bodies_not_understood",
    "bodies_not_read",
    "bodies_not_sealed",
    "bodies_refused",
    "bodies_too_large",
    "bodies_too_many",
    "upgrades_refused",
    "secrets_applied",
    "secrets_refused",
}
GAUGES = {"config_fingerprint", "live_fingerprint"}
FIELDS = [*NAMES, "token", "id_keys"]


@pytest.mark.smoke
def test_every_metric_by_name(gateway):
    g = gateway()
    assert set(g.counters()) == COUNTERS | GAUGES
    _, body = request(g.envoy.admin, "GET", "/stats/prometheus")
    types = dict(re.findall(r"^# TYPE envoy_tokenpin_(\w+) (\w+)$", body.decode(), re.M))
    assert types == {**dict.fromkeys(COUNTERS, "counter"), **dict.fromkeys(GAUGES, "gauge")}


@pytest.mark.smoke
def test_one_of_each_group_for_every_decision(gateway):
    g = gateway()
    requests = [
        {},
        {"cookie": forge("alpha")},
        {"cookie": "junk"},
        {"consumer": "alice"},
        {"session": "s"},
        {"path": "/v1/models"},
    ]
    for each in requests:
        with g.counting() as rose:
            answer = g.send(**each)
        decision = {f"{name}_{value}" for name, value in answer.decision.items() if name in NAMES}
        expected = decision | ({"cookies_set"} if answer.cookie else set())
        assert rose == dict.fromkeys(expected, 1), each


def test_counters_under_load(gateway):
    g = gateway()
    with g.counting() as rose:
        g.parallel(8, lambda _: [g.send() for _ in range(25)])
    assert rose["outcome_placed"] == rose["source_minted"] == rose["cookies_set"] == 200
    assert rose["verdict_absent"] == rose["pin_state_none"] == rose["key_reason_absent"] == 200


@pytest.mark.smoke
def test_fingerprints(gateway):
    """The gauges are the fingerprints of docs/spec/decision.md, and change with their inputs."""
    slots = [twin.Slot(account.encode()) for account in ACCOUNTS]
    ring = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
    config = twin.Config(slots, PLACEMENT_KEY, ring)
    g, other = gateway(), gateway()

    def gauges(of):
        counters = of.counters()
        return {name: counters[name] for name in GAUGES}

    def expected():
        config_fingerprint, live = twin.fingerprint(config), twin.live_fingerprint(slots, 0)
        return {"config_fingerprint": config_fingerprint, "live_fingerprint": live}

    assert gauges(g) == gauges(other) == expected()
    g.update(settings(tokens=tokens(bravo={"state": "down"}, charlie={"weight": 5})))
    slots[1].state, slots[2].weight = twin.DOWN, 5
    g.send()
    wait_for("the live fingerprint", lambda: gauges(g) == expected())
    g.update(settings(cookie_keys=cookie_keys(sign=2)))
    assert gauges(g)["config_fingerprint"] != gauges(other)["config_fingerprint"]


def test_the_live_fingerprint_follows_cooldowns_and_the_state_file(gateway, folder):
    path = folder / "states.json"
    g = gateway(settings(state_file=str(path)))
    slots = [twin.Slot(account.encode()) for account in ACCOUNTS]

    def live():
        return g.counters()["live_fingerprint"]

    assert live() == twin.live_fingerprint(slots, 0)
    g.upstream.script.append(answering(429, [("retry-after", "4")]))
    g.send(cookie=forge("bravo"))
    slots[1].state = twin.DRAINING
    wait_for("the cooldown in the gauge", lambda: live() == twin.live_fingerprint(slots, 0))
    slots[1].state = twin.UP
    wait_for("its end in the gauge", lambda: live() == twin.live_fingerprint(slots, 0))
    replace_file(path, '{"tokens": {"alpha": {"weight": 7}}}')
    slots[0].weight = 7
    wait_for("the file in the gauge", lambda: live() == twin.live_fingerprint(slots, 0))


@pytest.mark.smoke
def test_metadata_in_the_access_log(gateway, folder):
    down = tokens(alpha={"state": "down"})
    g = gateway(settings(tokens=down, metadata=True), access_log=access_log(folder, FIELDS))
    requests = [
        ({"cookie": forge("bravo")}, "cookie pinned {home} valid none absent bravo -"),
        (
            {"cookie": forge("gone"), "method": "GET"},
            "cookie fallback gone valid none absent {account} -",
        ),
        ({"consumer": "alice"}, "consumer placed none absent none ok {account} -"),
        ({"cookie": forge("alpha"), "method": "GET"}, "cookie rejected down valid none absent - -"),
        ({"path": "/v1/models"}, "stateless placed none absent none absent {account} -"),
        (
            {"body": b'{"previous_response_id":"resp_1"}'},
            "minted placed none absent plain absent {account} -",
        ),
    ]
    for number, (options, line) in enumerate(requests, 1):
        answer = g.send(**options)
        home = answer.decision["pin_state"]
        assert lines_of(folder, number)[-1] == line.format(home=home, account=answer.account)
    g.update(settings())
    g.send()
    assert lines_of(folder, len(requests) + 1)[-1] == " ".join("-" * len(FIELDS))


@pytest.mark.smoke
def test_the_response_header(gateway):
    g = gateway()
    answer = g.send(headers=[(DECISION, "from the client")], cookie=forge("bravo"))
    pin_state = answer.decision["pin_state"]
    assert pin_state in ("home", "elsewhere")
    assert answer.value(DECISION) == (
        f"source=cookie, outcome=pinned, pin_state={pin_state}, verdict=valid, "
        "id_verdict=none, key_reason=absent, slot=1"
    )
    g.update(settings(tokens=tokens(bravo={"state": "down"})))
    refused = g.send("GET", cookie=forge("bravo"))
    assert refused.value(DECISION) == (
        "source=cookie, outcome=rejected, pin_state=down, verdict=valid, id_verdict=none, key_reason=absent"
    )
    g.update(settings(response_header=None))
    assert g.send().value(DECISION) is None


def test_what_the_admin_interface_shows(gateway):
    """No secret that is named by file or env is in it."""
    g = gateway()
    begun = g.begin()
    for path in ("/config_dump", "/stats", "/clusters", "/listeners", "/certs", "/server_info"):
        _, body = request(g.envoy.admin, "GET", path)
        for name, value in {**ENVIRONMENT, "the cookie": begun.cookie}.items():
            assert value.encode() not in body, f"{path} shows {name}"


def test_keys_are_in_no_log(gateway):
    """No affinity key is logged, either. The end of the run searches all logs."""
    g = gateway(settings(tenant={"header": "x-tenant"}, id_hint={"header": "x-client"}))
    keys = {name: f"private-{name}-5c1d" for name in ("consumer", "session", "x-tenant", "x-client")}
    LOGGED_NEVER.update(keys.values())
    headers = [(name, keys[name]) for name in ("x-tenant", "x-client")]
    assert g.send(session=keys["session"], headers=headers).status == 200
    assert g.send(consumer=keys["consumer"], headers=headers).status == 200
    assert g.send(headers=headers).status == 200
    several = [("x-tenant", keys["x-tenant"]), ("x-tenant", "another")]
    assert g.send(headers=several).status == 400


def test_bad_tenants_are_counted(gateway):
    g = gateway(settings(tenant={"header": "x-tenant"}))
    with g.counting() as rose:
        assert g.send(headers=[("x-tenant", "a"), ("x-tenant", "b")]).status == 400
    assert rose == {"bad_tenants": 1}


def test_the_default_names_of_metrics(gateway):
    """Without metrics_namespace the metrics are under Envoy's own."""
    g = gateway()
    path = g.envoy.filter_file
    text = path.read_text().replace('"metrics_namespace": "tokenpin"', '"metrics_namespace": ""')
    before = g.envoy.reloads()
    replace_file(path, json.dumps({**json.loads(text), "version_info": "x"}))
    wait_for("the update", lambda: g.envoy.reloads() > before)
    g.send()
    assert g.envoy.stats("dynamicmodulescustom")["dynamicmodulescustom.outcome_placed"] == 1
