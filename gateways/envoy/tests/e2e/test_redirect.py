"""Redirects that Envoy itself follows (`internal_redirect_policy`)."""

import json

import pytest
from gateway import COOKIE, access_log, consumer_of, lines_of, opened, route, settings
from provider import Provider
from stack import wait_for
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


def moved(status=307, target=ELSEWHERE):
    """A redirect with a whole URL: Envoy follows no other."""

    def answer(request):
        url = f"http://{request.value('host').decode()}{target}"
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
    for _ in range(5):
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


def test_no_one_else_continues_where_a_client_left(gateway):
    """A client leaves before its response. The next client only claims to be redirected."""
    trusted = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    routes = [route(**FOLLOWING)]
    g = gateway(settings(sealed_ids="seal"), routes=routes, internal_address_config=trusted)
    forged = [
        ("x-forwarded-for", "10.1.2.3"),
        ("x-envoy-original-url", "http://g/v1/files"),
        ("authorization", "Bearer guessed"),
    ]
    for _ in range(5):
        g.upstream.requests.clear()
        g.upstream.script.append(lambda request: iter([]))
        with g.connect() as connection:
            head = f"GET /v1/files HTTP/1.1\r\nHost: g\r\nx-consumer: {consumer_of('alpha')}\r\n\r\n"
            connection.sendall(head.encode())
            wait_for("the upstream to be asked", lambda: g.upstream.requests)
            count = len(g.upstream.open)
        wait_for("Envoy to see that the client left", lambda: len(g.upstream.open) < count)
        answer = g.send("GET", "/v1/files", forged, consumer=consumer_of("bravo"))
        assert answer.account == "bravo"
        assert g.upstream.last().value("x-envoy-original-url"), "Envoy believes the client"
