"""The keys that identify a session, and their sources."""

import json

import pytest
import tokenpin_twin as twin
from gateway import COOKIE, CONSUMER, SESSION, forge, home, opened, route, settings, tokens
from stack import extension, module_route
from upstream import RESET, answering

NAMES = [f"name-{number}" for number in range(8)]


def consumer(name):
    return home(twin.consumer_key(name.encode("latin-1")))


def session(name):
    return home(twin.session_key(name.encode("latin-1")))


def combined(name, key):
    return home(twin.combined_key(name.encode(), key.encode()))


def to_metadata(header, namespace, key):
    on = {"metadata_namespace": namespace, "key": key, "type": "STRING"}
    rule = {"header": header, "on_header_present": on, "remove": True}
    kind = extension("filters.http.header_to_metadata.v3.Config", request_rules=[rule])
    return {"name": "envoy.filters.http.header_to_metadata", "typed_config": kind}


def to_filter_state(header, key):
    value = {
        "object_key": key,
        "factory_key": "envoy.string",
        "format_string": {
            "text_format_source": {"inline_string": f"%REQ({header})%"},
            "omit_empty_values": True,
        },
        "skip_if_empty": True,
    }
    kind = extension("filters.http.set_filter_state.v3.Config", on_request_headers=[value])
    return {"name": "envoy.filters.http.set_filter_state", "typed_config": kind}


SOURCES = {
    "header": ({"header": CONSUMER, "trusted": True}, []),
    "metadata": (
        {"metadata": {"namespace": "auth", "key": "user"}},
        [to_metadata(CONSUMER, "auth", "user")],
    ),
    "filter state": (
        {"filter_state": "gateway.consumer"},
        [to_filter_state(CONSUMER, "gateway.consumer")],
    ),
}


@pytest.mark.smoke
@pytest.mark.parametrize("source", SOURCES)
def test_consumer(gateway, source):
    where, filters = SOURCES[source]
    g = gateway(settings(consumer=where), filters=filters)
    for name in [*NAMES, 'm\xfcller "x" ;,=']:
        # Session key and cookie name other accounts: the consumer counts first.
        answer = g.send(consumer=name, session=name, cookie=forge("bravo"))
        assert answer.decision["source"] == "consumer"
        assert answer.decision["key_reason"] == "ok"
        assert answer.account == consumer(name)
        assert answer.cookie is None
    absent = g.send()
    assert absent.decision["source"] == "minted"
    assert absent.decision["key_reason"] == "absent"


@pytest.mark.smoke
@pytest.mark.parametrize("source", SOURCES)
def test_session_and_tenant_and_hint_sources(gateway, source):
    where, filters = SOURCES[source]
    where = {key: value for key, value in where.items() if key != "trusted"}
    g = gateway(settings(consumer=None, session=[where]), filters=filters)
    for name in NAMES:
        answer = g.send(consumer=name)
        assert answer.decision["source"] == "session"
        assert answer.account == session(name)
    g.update(settings(consumer=None, session=None, tenant=where))
    scope = b"\0red"
    red = g.send(consumer="red")
    opened(red.cookie, name=twin.default_name(scope).decode(), scope=scope)
    g.update(settings(consumer=None, session=None, id_hint=where))
    ids = {opened(g.send(consumer="red").cookie)[0].id for _ in range(3)}
    assert len(ids) == 1


@pytest.mark.smoke
def test_the_order_of_session_headers(gateway):
    one, two = NAMES[0], next(name for name in NAMES if session(name) != session(NAMES[0]))
    order = [{"header": "x-first"}, {"header": "x-second"}]
    g = gateway(settings(session=order))
    both = [("x-second", two), ("x-first", one)]
    assert g.send(headers=both).account == session(one)
    assert g.send(headers=both[:1]).account == session(two)
    # An empty value counts as absent.
    assert g.send(headers=[("x-first", ""), ("x-second", two)]).account == session(two)
    g.update(settings(session=order[::-1]))
    assert g.send(headers=both).account == session(two)


@pytest.mark.smoke
def test_combined_keys(gateway):
    g = gateway(settings(combine_keys=True))
    for name in NAMES:
        both = g.send(consumer=name, session="s")
        assert both.decision["source"] == "combined"
        assert both.account == combined(name, "s")
        assert g.send(consumer=name).account == consumer(name)
        assert g.send(session=name).account == session(name)


@pytest.mark.smoke
def test_keyed_cookies(gateway):
    """With these cookies, a session with a key stays on its account when its home is back."""
    g = gateway(settings(keyed_cookies=True))
    key = twin.consumer_key(b"alice")
    begun = g.send(consumer="alice")
    made, account = opened(begun.cookie, key=key)
    assert (made.kind, account) == (twin.CONSUMER, begun.account)
    away = next(name for name in ("alpha", "bravo", "charlie") if name != begun.account)
    pinned = g.send(consumer="alice", cookie=forge(away, key=key))
    assert (pinned.outcome, pinned.account) == ("pinned", away)
    assert pinned.decision["pin_state"] == "elsewhere"
    assert pinned.decision["source"] == "consumer"
    # Switched off, they are still accepted, but not written.
    g.update(settings())
    assert g.send(consumer="alice").cookie is None
    assert g.send(consumer="alice", cookie=forge(away, key=key)).account == away


REASONS = {
    "several_values": [(CONSUMER, "alice"), (CONSUMER, "bob")],
    "too_long": [(CONSUMER, "a" * 4097)],
}


@pytest.mark.smoke
@pytest.mark.parametrize("reason", REASONS)
def test_keys_that_cannot_be_used(gateway, reason):
    g = gateway()
    headers = [*REASONS[reason], (SESSION, "s")]
    with g.counting() as rose:
        answer = g.send(headers=headers)
    assert answer.decision["source"] == "session", "the next source counts"
    assert answer.account == session("s")
    assert answer.decision["key_reason"] == reason
    assert rose[f"key_reason_{reason}"] == 1
    g.update(settings(reject_bad_keys=True))
    asked = len(g.upstream.requests)
    with g.counting() as rose:
        refused = g.send(headers=headers)
    assert refused.status == 503
    assert json.loads(refused.body)["error"]["code"] == "bad_affinity_key"
    assert rose["outcome_rejected"] == 1 and rose[f"key_reason_{reason}"] == 1
    assert len(g.upstream.requests) == asked
    # A request that does not depend on the key is not refused.
    assert g.send("POST", "/v1/models", headers=headers).status == 200


def test_keys_up_to_the_limit(gateway):
    g = gateway()
    name = "a" * 4096
    assert g.send(consumer=name).account == consumer(name)


def test_an_empty_consumer_is_none(gateway):
    g = gateway()
    answer = g.send(consumer="")
    assert answer.decision["source"] == "minted"
    assert g.send(headers=[(CONSUMER, ""), (CONSUMER, "alice")]).account == consumer("alice")


@pytest.mark.smoke
def test_existing_by_header(gateway):
    down = {"alpha": {"state": "down"}}
    g = gateway(settings(existing={"header": "x-existing"}, tokens=tokens(**down)))
    for value, existing in {"true": True, "1": True, "false": False, "0": False, "": False}.items():
        answer = g.send(headers=[("x-existing", value)], cookie=forge("alpha"))
        assert answer.status == (503 if existing else 200), f"x-existing: {value}"
    assert g.send(cookie=forge("alpha")).outcome == "repinned"


def body_to_metadata(key):
    """The filter that the README uses for bodies, for one field."""
    on = {"metadata_namespace": "body", "key": "state", "type": "STRING"}
    rules = [{"selectors": [{"key": key}], "on_present": on}]
    name = "filters.http.json_to_metadata.v3.JsonToMetadata"
    kind = extension(name, request_rules={"rules": rules})
    return {"name": "envoy.filters.http.json_to_metadata", "typed_config": kind}


@pytest.mark.smoke
def test_existing_by_what_a_body_holds(gateway):
    """The value is the id itself: its presence is enough."""
    source = {"metadata": {"namespace": "body", "key": "state"}, "present": True}
    filters = [body_to_metadata("previous_response_id")]
    down = settings(existing=source, tokens=tokens(alpha={"state": "down"}))
    g = gateway(down, filters=filters)
    json_type = [("content-type", "application/json")]
    for value in ("resp_1", "true", "false", "0", "-", "", None, {}, []):
        body = json.dumps({"previous_response_id": value, "input": "Hello."}).encode()
        answer = g.send(cookie=forge("alpha"), headers=json_type, body=body)
        assert answer.status == (503 if value else 200), f"previous_response_id: {value!r}"
    for body in (b'{"input":"previous_response_id"}', b"{}", b"no JSON"):
        answer = g.send(cookie=forge("alpha"), headers=json_type, body=body)
        assert answer.outcome == "repinned"


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["header", "filter state"])
def test_existing_by_presence(gateway, kind):
    source, filters = {"header": "x-existing"}, []
    if kind == "filter state":
        source, filters = {"filter_state": "e"}, [to_filter_state("x-existing", "e")]
    fields = settings(existing={**source, "present": True}, tokens=tokens(alpha={"state": "down"}))
    g = gateway(fields, filters=filters)
    for value in ("resp_1", "true", "false", "0", ""):
        answer = g.send(headers=[("x-existing", value)], cookie=forge("alpha"))
        assert answer.status == (503 if value else 200), f"x-existing: {value}"
    assert g.send(cookie=forge("alpha")).outcome == "repinned"


@pytest.mark.smoke
def test_group(gateway):
    g = gateway(settings(group="stateless"))
    begun = g.send(consumer="alice", cookie=forge("alpha"))
    assert begun.decision["source"] == "stateless" and begun.cookie is None
    accounts = {g.send(consumer="alice").account for _ in range(40)}
    assert accounts == {"alpha", "bravo", "charlie"}, "any token, by weight"
    g.update(settings(group="stateful"))
    assert g.send("GET", "/anything").cookie is not None
    g.update(settings(group="prompt_cache"))
    assert g.send().cookie is None
    assert g.send(consumer="alice").account == consumer("alice")


@pytest.mark.smoke
@pytest.mark.parametrize("replace", [False, True], ids=["extend", "replace"])
def test_rules(gateway, replace):
    rules = [
        {"pattern": "realtime", "group": "stateful"},
        {"pattern": "jobs/*:start", "group": "stateful"},
        {"pattern": "files", "group": "stateless"},
    ]
    g = gateway(settings(rules=rules, **({"replace_rules": True} if replace else {})))
    stateful = {
        "/v1/realtime": True,
        "/v1/jobs/j1:start": True,
        "/v1/jobs/j1%3Astart": True,
        "/v1/jobs/j1:stop": False,
        "/v1/files": False,
        "/v1/responses": not replace,
        "/v1/%72esponses?x=1": not replace,
        "/openai/deployments/files/chat/completions": False,
        "/v1beta/models/m:batchGenerateContent": not replace,
    }
    for path, is_stateful in stateful.items():
        source = g.send(path=path).decision["source"]
        assert source == ("minted" if is_stateful else "stateless"), path


@pytest.mark.smoke
def test_what_the_host_says_counts_on_any_path(gateway):
    """It also counts in any group, also that of a route: the host has read the request."""
    paths = ["/v1/chat/completions", "/v1/messages", "/v1/models", "/any", "/v1/responses"]
    groups = [None, "stateless", "prompt_cache", "stateful"]
    routes = [route(f"/{group}/", typed_per_filter_config=module_route({"group": group})) for group in groups[1:]]
    own = {"existing": {"header": "x-own"}, "group": "stateless"}
    routes.append(route("/own/", typed_per_filter_config=module_route(own)))
    down = tokens(alpha={"state": "down"})
    g = gateway(settings(existing={"header": "x-existing"}, tokens=down), routes=routes)
    for group in groups:
        for path in paths:
            path = path if group is None else f"/{group}{path}"
            said = [("x-existing", "true")]
            assert g.send(path=path, headers=said, cookie=forge("alpha")).status == 503, path
            there = g.send(path=path, headers=said, cookie=forge("bravo"))
            assert (there.status, there.account, there.outcome) == (200, "bravo", "pinned"), path
            unsaid = [("x-own", "true")]
            assert g.send(path=path, headers=unsaid, cookie=forge("alpha")).status == 200, path
    for path in paths:
        said = [("x-own", "true")]
        assert g.send(path=f"/own{path}", headers=said, cookie=forge("alpha")).status == 503
        assert g.send(path=f"/own{path}", cookie=forge("alpha")).decision["source"] == "stateless"


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_copies_of_a_key_are_one(gateway, http2):
    """Copies come as two header lines, or joined by Envoy or by another proxy."""
    one = "x-client-trace-id"  # Envoy joins its values
    sources = [{"header": SESSION}, {"header": one}]
    g = gateway(settings(session=sources))

    def ask(*headers):
        if not http2:
            return g.send("GET", "/v1/files", headers=list(headers))
        (answer,) = g.multiplex([(":path", "/v1/files"), *headers])
        return answer

    for name in NAMES:
        for header, kind in ((CONSUMER, "consumer"), (SESSION, "session"), (one, "session")):
            expected = consumer(name) if kind == "consumer" else session(name)
            copies = [
                [(header, name)],
                [(header, name)] * 2,
                [(header, name)] * 3,
                [(header, f"{name},{name}")],
                [(header, f"{name}, {name}"), (header, name)],
                [(header, f"{name},")],
                [(header, f",{name}")],
                [(header, f"{name},,{name}")],
                [(header, f"{name}, ,{name}")],
                [(header, name), (header, ""), (header, f"{name},")],
            ]
            for headers in copies:
                answer = ask(*headers)
                assert answer.account == expected, headers
                assert answer.decision["source"] == kind and answer.decision["key_reason"] == "ok"
    for header in (CONSUMER, SESSION):
        several = ask((header, "alice"), (header, "bob"), (header, "alice"))
        assert several.decision["key_reason"] == "several_values"
        nobody = ask((header, ", ,"))
        assert nobody.decision["key_reason"] == "absent"
    # A name with a comma is one name.
    assert ask((CONSUMER, "alice,bob")).account == consumer("alice,bob")


def handshake(g, http2, path="/v1/responses", headers=()):
    """Returns the answer to a WebSocket handshake that the upstream answers immediately."""
    if http2:
        extended = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", path)]
        (answer,) = g.multiplex([*extended, *headers], body=b"x")
        return answer
    lines = [f"GET {path} HTTP/1.1", "Host: g", "Connection: Upgrade", "Upgrade: WebSocket"]
    lines += [f"{name}: {value}" for name, value in headers]
    return g.raw(("\r\n".join(lines) + "\r\n\r\n").encode())


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_websocket_handshake_creates(gateway, http2):
    """A handshake is a GET without state: it is re-pinned like a POST, with a cookie on its 101."""
    options = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    if http2:
        options["http2_protocol_options"] = {"allow_connect": True}
    g = gateway(settings(tokens=tokens(alpha={"state": "down"})), **options)

    def switch(request):
        head = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        yield head + b"x-account: " + request.account.encode() + b"\r\n\r\n"
        yield RESET

    g.upstream.answer = switch
    ours = ("cookie", f"{COOKIE}={forge('alpha')}")
    moved = handshake(g, http2, headers=[ours])
    assert moved.status == (200 if http2 else 101) and moved.outcome == "repinned"
    assert opened(moved.cookie)[1] == moved.account != "alpha"
    # A handshake that names state in its path reads it.
    assert handshake(g, http2, "/v1/responses/resp_1", [ours]).status == 503
    new = handshake(g, http2)
    assert new.outcome == "placed" and opened(new.cookie)[1] == new.account
    g.upstream.answer = answering(200)
    assert g.send("GET", cookie=forge("alpha")).status == 503, "a plain GET reads"


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_refused_handshake_is_the_clients(gateway, http2):
    """Envoy cannot retry a handshake: the client sees the refusal, and nothing hangs."""
    options = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    if http2:
        options["http2_protocol_options"] = {"allow_connect": True}
    g = gateway(settings(retry={"status": [429]}, cooldowns=[]), **options)
    g.upstream.answer = answering(429, body=b"limited")
    answer = handshake(g, http2, headers=[("cookie", f"{COOKIE}=junk")])
    assert (answer.status, answer.body) == (429, b"limited")
    assert len(g.upstream.requests) == 1
