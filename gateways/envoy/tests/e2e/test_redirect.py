"""Redirects that Envoy itself follows (`internal_redirect_policy`)."""

import json
import re

import pytest
from gateway import ACCOUNTS, COOKIE, access_log, consumer_of, credential, lines_of, opened, route, settings
from provider import JSON, Provider
from stack import extension, module_route, no_module_route, wait_for
from test_chains import outer_filter, outer_settings
from test_retry import KEEPING
from upstream import answering, reply

FOLLOWING = {
    "route": {
        "internal_redirect_policy": {
            "max_internal_redirects": 2,
            "redirect_response_codes": [302, 303, 307, 308],
        }
    }
}
ELSEWHERE = "/v1/responses?again=1"


MARK = "x-tokenpin-redirect"


def moved(status=307, target=ELSEWHERE, host=None):
    """A redirect with a whole URL: Envoy follows no other."""

    def answer(request):
        url = f"http://{host or request.value('host').decode()}{target}"
        return reply(request, status, [("location", url)], b"")

    return answer


@pytest.fixture
def following(gateway):
    """A gateway that follows redirects, with a provider behind it."""

    def start(**fields):
        g = gateway(settings(**{"sealed_ids": "seal", **fields}), routes=[route(**FOLLOWING)])
        g.upstream.answer = g.provider = Provider()
        return g

    return start


def create(g, body=None, **options):
    text = json.dumps({"input": "Hello.", **(body or {})}).encode()
    return g.send(headers=[("content-type", "application/json")], body=text, **options)


@pytest.mark.parametrize("status", [302, 307, 308])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_the_account_of_an_id_serves_both_times(following, status, http2):
    g = following()
    # Consumers of all accounts, so that a decision by the consumer would differ.
    for account in ("alpha", "bravo", "charlie"):
        first = create(g, consumer=consumer_of(account))
        id = json.loads(first.body)["id"]
        assert first.account == account and id.endswith("tp1")
        for other in ("alpha", "bravo", "charlie"):
            g.upstream.requests.clear()
            g.upstream.script.append(moved(status))
            answer = create(g, {"previous_response_id": id}, consumer=consumer_of(other), http2=http2)
            assert answer.status == 200, answer
            assert [request.account for request in g.upstream.requests] == [account, account]
            one, two = g.upstream.requests
            assert two.target == ELSEWHERE and two.body == one.body
            assert json.loads(two.body)["previous_response_id"] in g.provider.accounts
            got = json.loads(answer.body)
            assert got["previous_response_id"] == id and got["id"].endswith("tp1")
            assert answer.decision["source"] == "id"


def test_a_session_keeps_its_cookie(following):
    g = following()
    g.upstream.script.append(moved())
    first = create(g)
    asked = [request.account for request in g.upstream.requests]
    assert first.status == 200 and asked == [first.account] * 2
    assert opened(first.cookie)[1] == first.account, "what was created is there"
    for _ in range(10):
        g.upstream.requests.clear()
        g.upstream.script.append(moved())
        answer = create(g, cookie=first.cookie)
        assert [request.account for request in g.upstream.requests] == [first.account] * 2
        assert answer.outcome == "pinned" and answer.cookies == []
        assert not any(COOKIE.encode() in value for value in g.upstream.last().values("cookie"))


def test_two_redirects_and_a_get(following):
    g = following()
    file = json.loads(g.send(path="/v1/files", consumer=consumer_of("bravo")).body)["id"]
    native = next(iter(g.provider.accounts))
    for count in (1, 2):
        g.upstream.requests.clear()
        g.upstream.script += [moved(target=f"/v1/files/{native}?n={n}") for n in range(count)]
        answer = g.send("GET", f"/v1/files/{file}", consumer=consumer_of("alpha"))
        assert answer.status == 200 and json.loads(answer.body)["id"] == file
        assert [request.account for request in g.upstream.requests] == ["bravo"] * (count + 1)


@pytest.mark.parametrize("owner", ["none", "consumer"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_from_a_target_without_ids(following, owner, http2):
    """No key decides for it, so any account serves."""
    g = following(id_owner=owner)
    alice = consumer_of("alpha")
    for _ in range(10):
        g.upstream.requests.clear()
        g.upstream.script.append(moved())
        first = create(g, path="/begin", consumer=alice, http2=http2)
        # Nothing holds this request, so the answer may come before its end, and Envoy does not
        # follow then.
        if first.status != 307:
            break
    assert [request.target for request in g.upstream.requests] == ["/begin", ELSEWHERE]
    account = g.upstream.last().account
    assert g.upstream.last().value("accept-encoding") == b"identity"
    id = json.loads(first.body)["id"]
    assert first.status == 200 and id.endswith("tp1")
    assert create(g, {"previous_response_id": id}, consumer=alice, http2=http2).account == account
    other = create(g, {"previous_response_id": id}, consumer=consumer_of("bravo"), http2=http2)
    if owner == "none":
        assert other.account == account and json.loads(other.body)["previous_response_id"] == id
    else:
        assert other.status == 400


def test_a_retry_behind_a_target_without_ids(gateway):
    both = {"route": {**FOLLOWING["route"], **KEEPING["route"]}}
    g = gateway(settings(sealed_ids="seal", retry={"status": [429]}, cooldowns=[]), routes=[route(**both)])
    g.upstream.answer = Provider()
    for _ in range(10):
        g.upstream.requests.clear()
        g.upstream.script += [moved(), answering(429)]
        answer = create(g, path="/begin")
        accounts = [request.account for request in g.upstream.requests]
        assert answer.status == 200 and len(accounts) == 3 and accounts[0] == accounts[1] != accounts[2]
        id = json.loads(answer.body)["id"]
        assert id.endswith("tp1")
        assert create(g, {"previous_response_id": id}).account == accounts[2]


def test_a_whole_url_behind_a_target_without_ids(following):
    """The client's authority is gone by then, and an id that is sealed is only of use there."""
    g = following()
    for location in ("http://elsewhere.example/v1/responses/resp_1", "/v1/responses/resp_1"):
        found = answering(200, [("location", location), ("content-type", JSON)], b"{}")
        g.upstream.script += [moved(host="elsewhere.example"), found]
        got = create(g, path="/begin").value("location")
        assert got == location if location.startswith("http") else got.endswith("tp0")


def test_a_tenant_that_is_ambiguous_the_second_time(gateway):
    """A filter in front adds a value to the header that names the tenant."""
    value = {"key": "x-tenant", "value": "%REQ(x-envoy-original-url)%"}
    change = {"append": {"header": value, "append_action": "APPEND_IF_EXISTS_OR_ADD"}}
    mutation = extension("filters.http.header_mutation.v3.HeaderMutation", mutations={"request_mutations": [change]})
    front = {"name": "envoy.filters.http.header_mutation", "typed_config": mutation}
    fields = settings(sealed_ids="seal", tenant={"header": "x-tenant"})
    g = gateway(fields, routes=[route(**FOLLOWING)], filters=[front])
    g.upstream.answer = Provider()
    tenant = [("content-type", "application/json"), ("x-tenant", "one")]
    assert g.send(path=ELSEWHERE, headers=tenant, body=b"{}").status == 200
    g.upstream.requests.clear()
    g.upstream.script.append(moved())
    answer = g.send(path="/begin", headers=tenant, body=b"{}")
    assert answer.status == 400 and json.loads(answer.body)["error"]["code"] == "bad_tenant"
    assert len(g.upstream.requests) == 1


def test_a_redirect_that_envoy_does_not_follow_is_sealed(following):
    g = following()
    id = json.loads(create(g, consumer=consumer_of("alpha")).body)["id"]
    native = next(iter(g.provider.accounts))
    location = [("location", f"/v1/responses/{native}")]
    g.upstream.script.append(answering(301, location, b""))
    answer = g.send("GET", f"/v1/responses/{id}", consumer=consumer_of("bravo"))
    assert answer.status == 301 and answer.value("location") == f"/v1/responses/{id}"


def test_the_access_log_has_the_decision_of_both(gateway, folder):
    log = access_log(folder, ["token", "outcome"])
    fields = settings(sealed_ids="seal", metadata=True)
    g = gateway(fields, routes=[route(**FOLLOWING)], access_log=log)
    g.upstream.answer = Provider()
    g.upstream.script.append(moved())
    answer = create(g, consumer=consumer_of("charlie"))
    assert answer.status == 200
    assert lines_of(folder, 2) == ["charlie placed"] * 2


def leave(g):
    """Asks for something as a consumer of alpha, and leaves before the response."""
    g.upstream.script.append(lambda request: iter([]))
    count = len(g.upstream.requests)
    with g.connect() as connection:
        head = f"GET /v1/files HTTP/1.1\r\nHost: g\r\nx-consumer: {consumer_of('alpha')}\r\n\r\n"
        connection.sendall(head.encode())
        wait_for("the upstream to be asked", lambda: len(g.upstream.requests) > count)
        open_ones = len(g.upstream.open)
    wait_for("Envoy to see that the client left", lambda: len(g.upstream.open) < open_ones)


@pytest.mark.parametrize("guess", ["guessed", credential("alpha")], ids=["wrong", "right"])
def test_no_one_else_continues_where_a_client_left(gateway, guess):
    """A client leaves before its response. The next client only claims to be redirected."""
    trusted = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    routes = [route(**FOLLOWING)]
    g = gateway(settings(sealed_ids="seal"), routes=routes, internal_address_config=trusted)
    forged = [
        ("x-forwarded-for", "10.1.2.3"),
        ("x-envoy-original-url", "http://g/v1/files"),
        ("authorization", f"Bearer {guess}"),
    ]
    for _ in range(5):
        leave(g)
        answer = g.send("GET", "/v1/files", forged, consumer=consumer_of("bravo"))
        assert answer.account == "bravo"
        assert g.upstream.last().value("x-envoy-original-url"), "Envoy believes the client"


def test_only_a_redirect_leaves_its_state(gateway, folder):
    log = access_log(folder, [])
    text = log[0]["typed_config"]["log_format"]["text_format_source"]
    text["inline_string"] = f"%RESPONSE_CODE_DETAILS% %REQ({MARK})%\n"
    g = gateway(routes=[route(**FOLLOWING)], access_log=log)
    leave(g)
    g.upstream.script.append(moved())
    create(g)
    left, redirected, last = lines_of(folder, 3)
    assert left.endswith(" -") and last == "via_upstream -"
    assert re.fullmatch("internal_redirect [0-9a-f]{32}", redirected)


# The `typed_per_filter_config` of a route to another provider.
KEY_OF_ANOTHER = {"name": "another", "headers": [{"name": "x-api-key", "value": "another"}]}
OTHER_ROUTES = {
    "another": module_route(settings(tokens=[KEY_OF_ANOTHER])),
    "none": {},
    "disabled": no_module_route(),
}


@pytest.mark.parametrize("other", OTHER_ROUTES)
def test_a_route_of_another_configuration_gets_no_secret(gateway, other):
    """The chain has no configuration."""
    first = route("/v1/", typed_per_filter_config=module_route(settings(sealed_ids="seal")), **FOLLOWING)
    g = gateway({}, routes=[route("/other/", typed_per_filter_config=OTHER_ROUTES[other]), first])
    for headers in ([], [("authorization", "Bearer mine")]):
        g.upstream.requests.clear()
        g.upstream.script.append(moved(target="/other/v1/files"))
        assert g.send("GET", "/v1/files", headers).status == 200
        one, two = g.upstream.requests
        assert one.account in ACCOUNTS and two.target == "/other/v1/files"
        assert two.values("authorization") == []
        assert not any(credential(name).encode() in two.head for name in ACCOUNTS)
        assert two.values("x-api-key") == ([b"another"] if other == "another" else [])


def test_no_one_continues_where_a_redirect_left_the_filter(gateway):
    """The next stream of a worker that has the filter is another client's."""
    trusted = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    regions = [{"name": name, "headers": [{"name": "x-region", "value": name}]} for name in ACCOUNTS]
    routes = [
        route("/other/", typed_per_filter_config=no_module_route()),
        route("/v1/", **FOLLOWING),
    ]
    g = gateway(settings(tokens=regions), routes=routes, internal_address_config=trusted)
    forged = [
        ("x-forwarded-for", "10.1.2.3"),
        ("x-envoy-original-url", "http://g/v1/files"),
        ("x-region", "alpha"),
        (MARK, "0" * 32),
    ]
    for http2 in (False, True):
        for _ in range(5):
            g.upstream.script.append(moved(target="/other/v1/files"))
            g.send("GET", "/v1/files", consumer=consumer_of("alpha"), http2=http2)
            g.send("GET", "/v1/files", forged, consumer=consumer_of("bravo"), http2=http2)
            assert g.upstream.last().values("x-region") == [b"bravo"]


def test_two_filters_in_a_row(gateways):
    g = gateways()
    g.configure(routes=[route(**FOLLOWING)], filters=[outer_filter(outer_settings("outer"))])
    g.start(settings(sealed_ids="seal"))
    g.upstream.answer = Provider()
    for _ in range(20):
        g.upstream.requests.clear()
        g.upstream.script += [moved(), moved()]
        answer = create(g)
        requests = g.upstream.requests
        assert len(requests) == 3 and {request.account for request in requests} == {answer.account}
        assert len({request.value("x-region") for request in requests}) == 1
        assert not any(request.values(MARK) for request in requests)
        assert len(answer.values("set-cookie")) == 2


def test_a_filter_behind_tries_again(gateways):
    """The one in front sees the request begin again, and keeps to its token."""
    g = gateways()
    g.configure(routes=[route(**FOLLOWING)], filters=[outer_filter(outer_settings("outer"))])
    g.start(settings(retry={"status": [429], "max": 1}))
    for _ in range(20):
        g.upstream.requests.clear()
        g.upstream.script.append(answering(429))
        answer = create(g, cookie="junk")  # this client keeps cookies
        one, two = g.upstream.requests
        assert answer.status == 200 and one.account != two.account == answer.account
        assert one.value("x-region") == two.value("x-region")
        assert not two.values(MARK) and len(answer.values("set-cookie")) == 2


def test_a_token_with_its_own_authority(following):
    def with_authority(name):
        header = {"name": "authorization", "prefix": "Bearer ", "value": credential(name)}
        return {"name": name, "headers": [header, {"name": ":authority", "value": f"{name}.example"}]}

    g = following(tokens=[with_authority(name) for name in ACCOUNTS])
    for _ in range(10):
        g.upstream.requests.clear()
        g.upstream.script.append(moved(host="elsewhere.example"))
        answer = create(g)
        one, two = g.upstream.requests
        assert answer.account == one.account == two.account
        assert (one.value("host"), two.value("host")) == (f"{one.account}.example".encode(), b"elsewhere.example")
        assert answer.cookie and opened(answer.cookie)[1] == one.account


def test_a_filter_in_front_puts_another_credential_each_time(gateway):
    name = {"key": "authorization", "value": "Bearer of the front"}
    change = {"append": {"header": name, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    mutation = extension("filters.http.header_mutation.v3.HeaderMutation", mutations={"request_mutations": [change]})
    front = {"name": "envoy.filters.http.header_mutation", "typed_config": mutation}
    g = gateway(routes=[route(**FOLLOWING)], filters=[front])
    for _ in range(10):
        g.upstream.requests.clear()
        g.upstream.script.append(moved())
        answer = create(g)
        assert answer.account in ACCOUNTS
        assert [request.account for request in g.upstream.requests] == [answer.account] * 2


@pytest.mark.parametrize("there", ["content", "metadata"])
def test_a_redirect_to_a_file(following, there):
    g = following()
    file = json.loads(g.send(path="/v1/files", consumer=consumer_of("bravo")).body)["id"]
    native = next(iter(g.provider.accounts))
    target = f"/v1/files/{native}" + ("/content" if there == "content" else "")
    text = json.dumps({"id": native}).encode()
    g.upstream.script += [moved(302, target), answering(200, [JSON], text)]
    answer = g.send("GET", f"/v1/files/{file}", consumer=consumer_of("alpha"))
    assert answer.status == 200 and g.upstream.last().target == target
    if there == "content":
        assert answer.body == text
    else:
        assert json.loads(answer.body) == {"id": file}
