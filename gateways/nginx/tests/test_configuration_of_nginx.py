"""Configurations that the filter for Envoy refuses are refused here, at the same paths, and so is
what only Envoy has.

They are given to `setup` in a location of a running nginx: that is quicker than to start it for
each.
"""

import copy
import json
import re

import httpx2
import pytest
import stack
import test_configuration as envoys
from gateway import ENVIRONMENT, LOGGED_NEVER, settings

# Every field of the configuration, once, except those that nginx has not.
COMPLETE = copy.deepcopy(envoys.COMPLETE)
del COMPLETE["tokens"][0]["headers"][2]
del COMPLETE["clear_route_cache"]
COMPLETE |= {"tenant": {"header": "x-tenant"}, "existing": {"header": "x-existing", "present": True}}

# Fields that are refused here with any value: there is nothing in them to get wrong.
ABSENT = re.compile(r"tenant\.metadata")

SERVER = """
location = /setup {
    content_by_lua_block {
        ngx.req.read_body()
        local file = assert(io.open(ngx.config.prefix() .. "given.json", "wb"))
        file:write(ngx.req.get_body_data() or "")
        file:close()
        local ok, wrong = pcall(require("resty.tokenpin").setup, ngx.config.prefix() .. "given.json", "given")
        ngx.print(ok and "taken" or wrong)
    }
}
location = /table {
    content_by_lua_block {
        local ok, wrong = pcall(require("resty.tokenpin").setup, {
            placement_key = { env = "PLACEMENT_KEY" },
            cookie_keys = { { id = 1, role = "sign", key = { env = "COOKIE_KEY_1" } } },
            cooldowns = {},
            cookie = {},
            tokens = { { name = "alpha" }, { name = "bravo", weight = 1 } },
        }, "given")
        ngx.print(ok and "taken" or wrong)
    }
}
"""


@pytest.fixture
def told(gateway):
    """Asks a running nginx about a configuration."""
    secrets = {**ENVIRONMENT, **envoys.BAD_SECRETS}
    main = "".join(f"env {name};" for name in secrets)
    g = gateway(environment=envoys.BAD_SECRETS, server=SERVER, main=main, max_body="0")
    with httpx2.Client(trust_env=False) as client:
        yield lambda text, path="/setup": client.post(g.url + path, content=text).text


def test_bad_configurations_are_refused(told, monkeypatch):
    inline = ["sk-inline", *[value for value in envoys.BAD_SECRETS.values() if len(value) > 9]]
    LOGGED_NEVER.update(inline)
    assert told(json.dumps(COMPLETE)) == "taken"
    monkeypatch.setattr(envoys, "COMPLETE", COMPLETE)
    wrong = []
    cases = [case for case in envoys.BAD if not ABSENT.match(case[0])]
    for field, value, *elsewhere in cases:
        path = elsewhere[0] if elsewhere else field
        said = told(json.dumps(envoys.changed(field, value)))
        if not re.match(rf"tokenpin: configuration refused: {re.escape(path)}(?![A-Za-z_0-9])", said):
            wrong.append(f"{field} = {str(value)[:50]!r}: {said}")
        if any(secret in said for secret in inline):
            wrong.append(f"{field}: it tells a secret")
    assert not wrong, "\n" + "\n".join(wrong)
    assert len(cases) > 180


@pytest.mark.parametrize(
    "path, value",
    [
        ("clear_route_cache", True),
        ("consumer.metadata", {"namespace": "a", "key": "b"}),
        ("session[0].filter_state", "x"),
        ("tokens[0].headers[0].name", ":authority"),
        ("retry.status[0]", 401),
        ("max_held_bodies", 2**60),
    ],
)
def test_what_only_envoy_has(told, monkeypatch, path, value):
    monkeypatch.setattr(envoys, "COMPLETE", COMPLETE)
    said = told(json.dumps(envoys.changed(path, value)))
    assert said.startswith(f"tokenpin: configuration refused: {path}: "), said


def test_texts_that_are_no_configuration(told):
    for text in envoys.TEXTS:
        assert told(text).startswith("tokenpin: configuration refused: "), text
    good = json.dumps(settings())
    for what, text in {
        "cut": good[:-1],
        "more": good + " {}",
        "a comma": good[:-1] + ",}",
        "a comment": "//\n" + good,
        "a zero byte": good.replace("alpha", "al\\u0000pha"),
        "a bare control": good.replace("alpha", "al\tpha"),
        "half a pair": good.replace("alpha", "\\ud800"),
        "a bad escape": good.replace("alpha", "\\x41"),
        "leading zero": good.replace('"id": 1', '"id": 01'),
        "a bare point": good.replace('"id": 1', '"id": 1.'),
        "deep": "[" * 100000,
    }.items():
        assert told(text).startswith("tokenpin: configuration refused: "), what
    assert told('{\n  "a": tru }') == "tokenpin: configuration refused: no valid JSON at line 2, column 8"
    assert told(good[:-1] + ', "consumer": {}}') == "tokenpin: configuration refused: consumer: is given twice"
    for escaped in ("\\u0061lpha", "\\u00e4", "\\u20ac", "\\ud83d\\ude00", "a\\/b", "ä€😀"):
        assert told(good.replace("alpha", escaped, 1)) == "taken", escaped


def test_a_configuration_without_tokens(gateway):
    """Requests pass unchanged. The log says so, for nothing else tells it from one that pins
    them."""
    g = gateway({}, max_body="0")
    answer = g.send(headers=[("authorization", "Bearer mine")])
    assert g.upstream.requests[-1].values("authorization") == [b"Bearer mine"] and answer.cookie is None
    assert "configuration accepted: no tokens, requests pass as they come: gateway default" in g.envoy.log()


def test_a_table_of_lua(told):
    assert told("", "/table") == "taken"


def test_what_nginx_must_have(gateway, run, folder):
    """A missing dictionary is reported at the start."""
    with pytest.raises(stack.Refused, match="configuration refused: nginx.conf needs lua_shared_dict tokenpin"):
        gateway(dict="other")
