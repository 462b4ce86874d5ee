"""Requests that may move are tried again on another token."""

import random
import threading
import time

import pytest
import stack
import tokenpin_twin as twin
from gateway import (
    COOKIE,
    access_log,
    client,
    consumer_of,
    forge,
    lines_of,
    opened,
    route,
    settings,
    tokens,
)
from stack import module_route, wait_for
from upstream import RESET, answering, reply

# A cookie of our name, even a worthless one, shows that the client keeps cookies. The client finds
# the state again that it creates elsewhere.
JAR = {"cookie": "junk"}
LIMITED = answering(429, [("retry-after", "1"), ("x-error", "limited")], b'{"error":1}')
# Envoy keeps bodies where the route has a retry policy. This one never retries by itself.
KEEPING = {
    "route": {
        "retry_policy": {
            "retry_on": "retriable-status-codes",
            "retriable_status_codes": [599],
            "num_retries": 1,
        }
    }
}


def retrying(**fields):
    return settings(**{"retry": {"status": [429], "max": 1}, **fields})


def post(g, http2, headers=(), body=b'{"input":"Hello."}'):
    """Sends a first request that ends with its last byte.

    Clients may end it with an empty frame instead, and then the upstream could answer earlier.
    """
    if not http2:
        return g.send(headers=headers, body=body)
    (answer,) = g.multiplex([(":path", "/v1/responses"), *headers], body=body)
    return answer


@pytest.fixture
def keeping(gateway):
    """A gateway whose route keeps bodies."""
    return lambda fields=None, **more: gateway(fields or retrying(), routes=[route(**KEEPING)], **more)


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_first_request_moves_on(keeping, http2):
    different = tokens()
    for each in different[:2]:
        each["headers"].append({"name": f"x-only-{each['name']}", "value": "1"})
    g = keeping(retrying(tokens=different))
    g.upstream.script.append(LIMITED)
    headers = [
        ("cookie", f"a=1; {COOKIE}=junk; b=2"),
        ("x-other", "stays"),
        ("x-only-alpha", "mine"),
    ]
    with g.counting() as rose:
        answer = post(g, http2, headers)
    assert answer.status == 200 and answer.value("x-error") is None
    assert answer.outcome == "retried" and answer.decision["source"] == "minted"
    assert answer.decision["verdict"] == "malformed", "the second try sees the cookie as well"
    assert opened(answer.cookie)[1] == answer.account
    first, second = g.upstream.requests
    assert second.account == answer.account != first.account
    assert second.body == first.body == b'{"input":"Hello."}'
    for request in (first, second):
        assert request.values("cookie") == [b"a=1; b=2"]
        for name in ("alpha", "bravo"):
            expected = [b"1"] if request.account == name else []
            assert request.values(f"x-only-{name}") == expected
    credentials = ("authorization", "x-only-alpha", "x-only-bravo")
    ours = [[pair for pair in request.headers if pair[0] not in credentials] for request in (first, second)]
    assert sorted(ours[0]) == sorted(ours[1])
    assert (first.method, first.target) == (second.method, second.target)
    assert rose["retries"] == 1 and rose["cooldowns"] == 1 and rose["cookies_set"] == 1
    assert rose["outcome_retried"] == 1
    assert g.send(cookie=answer.cookie).outcome == "pinned"


@pytest.mark.smoke
def test_what_may_move(keeping):
    g = keeping()
    alice = consumer_of("alpha")
    moving = {
        "anonymous, with a jar": JAR,
        "stateless": {"path": "/v1/models"},
        "stateless, with a key": {"path": "/v1/models", "consumer": alice},
        "without a body": {**JAR, "body": b""},
        "with a carrier": {"headers": [("x-pin", "")]},
    }
    staying = {
        "anonymous, without a jar": {},
        "reading": {**JAR, "method": "GET", "path": "/v1/files"},
        "pinned": {"cookie": forge("alpha")},
        "pinned and reading": {"cookie": forge("alpha"), "method": "GET"},
        "a consumer without a cookie": {"consumer": alice},
        "a consumer that gets no cookie": {"consumer": alice, **JAR},
        "a session key without a cookie": {"session": "s"},
    }
    for what, options in {**moving, **staying}.items():
        # A new configuration has no cooldowns.
        g.update(retrying(success=[200, 299 - len(g.upstream.requests)], carrier_header="x-pin"))
        asked = len(g.upstream.requests)
        g.upstream.script[:] = [LIMITED]
        with g.counting() as rose:
            answer = g.send(**options)
        retried = what in moving
        assert answer.status == (200 if retried else 429), what
        assert len(g.upstream.requests) - asked == (2 if retried else 1), what
        assert rose.get("retries", 0) == retried, what
    g.update(retrying(keyed_cookies=True))
    g.upstream.script[:] = [LIMITED]
    answer = g.send(consumer=alice, **JAR)
    assert (answer.status, answer.outcome) == (200, "retried")
    key = twin.consumer_key(alice.encode())
    assert opened(answer.cookie, key=key)[1] == answer.account != "alpha"
    # A session whose account is down is re-pinned, and the retry may re-pin it again.
    g.update(retrying(cooldowns=[], tokens=tokens(alpha={"state": "down"})))
    g.upstream.script[:] = [LIMITED]
    answer = g.send(cookie=forge("alpha"))
    assert (answer.status, answer.outcome) == (200, "repinned")
    assert opened(answer.cookie)[1] == answer.account == g.upstream.last().account


class Provider:
    """Knows the account of each object, and answers 429 to the first creation."""

    def __init__(self):
        self.made = {}
        self.limits = True

    def __call__(self, request):
        if request.method == "POST" and self.limits:
            self.limits = False
            return LIMITED(request)
        reads = request.method == "GET"
        named = request.target.rpartition("/")[2].encode() if reads else request.body
        if reads or named in self.made:
            return reply(request, 200 if self.made.get(named) == request.account else 404)
        id = f"id_{len(self.made)}".encode()
        self.made[id] = request.account
        return reply(request, body=id)


# The flags are: keeps cookies, repeats the carrier header, names itself.
CLIENTS = {
    "anonymous without a jar": (False, False, False),
    "anonymous with a jar": (True, False, False),
    "anonymous with a carrier": (False, True, False),
    "named without a jar": (False, False, True),
    "named with a jar": (True, False, True),
    "named with a carrier": (False, True, True),
}


@pytest.mark.smoke
@pytest.mark.parametrize("keyed_cookies", [False, True], ids=["plain", "keyed"])
def test_a_retry_strands_no_state(keeping, keyed_cookies):
    """A client finds its new state again after a retry. Otherwise it gets the 429."""
    fields = {"keyed_cookies": keyed_cookies, "cooldowns": [], "carrier_header": "x-pin"}
    g = keeping(retrying(**fields, id_hint={"header": "x-client"}))
    moved = set()
    for kind, (jar, carrier, named) in CLIENTS.items():
        for number in range(12):
            name = f"{kind} {number}"
            g.upstream.answer = provider = Provider()
            kept = {"cookie": "old" if jar else None, "pin": ""}

            def ask(method, path, body=None):
                headers = [("x-client", name)]
                headers += [("x-pin", kept["pin"])] if carrier else []
                options = {"consumer": name} if named else {}
                cookie = kept["cookie"] if jar else None
                answer = g.send(method, path, headers, cookie=cookie, body=body, **options)
                kept["cookie"] = answer.cookie or kept["cookie"]
                kept["pin"] = answer.value("x-pin") or kept["pin"]
                return answer

            made = ask("POST", "/v1/files", b"new")
            if made.status == 429:
                assert not provider.made
                made = ask("POST", "/v1/files", b"new")
            elif len(g.upstream.requests) and made.outcome == "retried":
                moved.add(kind)
            assert made.status == 200
            follow = ask("GET", f"/v1/files/{made.body.decode()}")
            assert follow.status == 200, (name, made, follow)
            # A batch that names the file, also while its account is limited.
            provider.limits = True
            batch = ask("POST", "/v1/batches", made.body)
            assert batch.status in (200, 429), (name, made, batch)
    able = {"anonymous with a jar", "anonymous with a carrier"}
    assert moved == (able | {"named with a jar", "named with a carrier"} if keyed_cookies else able)


@pytest.mark.smoke
def test_how_often(keeping):
    for most in (1, 2, 3):
        five = tokens("alpha", "bravo", "charlie", "delta")
        g = keeping(retrying(retry={"status": [429], "max": most}, cooldowns=[], tokens=five))
        for failures in range(5):
            g.upstream.script[:] = [LIMITED] * failures
            g.upstream.requests.clear()
            with g.counting() as rose:
                answer = g.send(**JAR)
            tried = [request.account for request in g.upstream.requests]
            assert len(tried) == min(failures, most) + 1
            assert len(set(tried)) == len(tried), "no token twice"
            assert answer.status == (200 if failures <= most else 429)
            assert (answer.cookie is not None) == (failures <= most)
            assert rose.get("retries", 0) == min(failures, most)
            assert answer.values("set-cookie") == [] or len(answer.values("set-cookie")) == 1


@pytest.mark.smoke
def test_the_tries_are_counted_across_routes(gateway):
    """Each try chooses a route again, here at random, and each route has its own tokens."""
    own = retrying(cooldowns=[], carrier_header="x-pin")
    halves = [
        {
            "name": "upstream",
            "weight": 50,
            "typed_per_filter_config": module_route({**own, "scope": scope}),
        }
        for scope in ("one", "two")
    ]
    split = {"timeout": "15s", "weighted_clusters": {"clusters": halves}, **KEEPING["route"]}
    g = gateway({}, routes=[{"match": {"prefix": "/"}, "route": split}])
    g.upstream.answer = LIMITED
    for _ in range(20):
        g.upstream.requests.clear()
        assert g.send(headers=[("x-pin", "")]).status == 429
        assert len(g.upstream.requests) == 2, "one retry on any route"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1, 10_000, 20_000, 40_000, 60_000, 70_000, 200_000])
def test_an_answer_larger_than_envoys_buffer(gateways, size, chunked):
    """Such an answer never becomes an error of Envoy, with another token or without."""

    def limited(request):
        if not chunked:
            return reply(request, 429, body=b"x" * size)
        body = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n0\r\n\r\n"
        return reply(request, 429, [("transfer-encoding", "chunked")], body, length=False)

    g = gateways()
    g.configure(routes=[route(**KEEPING)])
    (listener,) = g.envoy.configuration["static_resources"]["listeners"]
    listener["per_connection_buffer_limit_bytes"] = 32768
    g.start(retrying(cooldowns=[]))
    g.upstream.script.append(limited)
    assert g.send(**JAR).outcome == "retried"
    g.upstream.answer = limited
    answer = g.send(**JAR)
    assert (answer.status, len(answer.body)) == (429, size)


@pytest.mark.smoke
def test_no_other_token(keeping):
    others = {name: {"state": "down"} for name in ("bravo", "charlie")}
    g = keeping(retrying(tokens=tokens(**others)))
    g.upstream.script.append(LIMITED)
    answer = g.send(**JAR)
    assert (answer.status, answer.body, answer.value("x-error")) == (429, b'{"error":1}', "limited")
    assert answer.account == "alpha" and len(g.upstream.requests) == 1
    # All tokens are limited: the client sees the answer of the last one.
    g.update(retrying(tokens=tokens("alpha", "bravo"), retry={"status": [429], "max": 3}))
    g.upstream.script[:] = [LIMITED] * 2
    answer = g.send(**JAR)
    assert (answer.status, answer.value("x-error")) == (429, "limited")
    assert len(g.upstream.requests) == 3


@pytest.mark.smoke
def test_a_status_that_is_not_listed(keeping):
    g = keeping(retrying(retry={"status": [401, 503]}, cooldowns=[]))
    for status in (429, 500, 502, 504):
        g.upstream.script[:] = [answering(status)]
        assert g.send("POST", "/v1/models").status == status
    for status in (401, 503):
        g.upstream.script[:] = [answering(status)]
        assert g.send("POST", "/v1/models").status == 200


def test_a_body_that_was_not_kept(gateway):
    g = gateway(retrying())
    g.upstream.script[:] = [LIMITED]
    with g.counting() as rose:
        assert g.send(**JAR).status == 429
    assert "retries" not in rose and len(g.upstream.requests) == 1
    g.update(retrying(mint_single=True))
    g.upstream.script[:] = [LIMITED]
    assert g.send(**JAR, body=b"").status == 200, "without a body there is nothing to keep"


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_bodies_arrive_whole_or_are_not_sent_again(keeping, http2):
    g = keeping(retrying(cooldowns=[]))
    for size in (1, 20, 16383, 16384, 16385, 65536, 200_000, 1_000_000, 1_500_000, 3_000_000):
        body = random.Random(size).randbytes(size)
        g.upstream.requests.clear()
        g.upstream.script[:] = [LIMITED]
        answer = post(g, http2, [("cookie", f"{COOKIE}=junk")], body=body)
        assert all(request.body == body for request in g.upstream.requests), size
        assert answer.status == (200 if len(g.upstream.requests) == 2 else 429), size
        if size <= 1_000_000:
            assert answer.status == 200, f"{size} bytes fit into what Envoy keeps"
        g.upstream.script.clear()


def endless(request):
    yield reply(request, 429, [("transfer-encoding", "chunked")], b"", length=False)
    while True:
        yield b"4\r\nmore\r\n"


ANSWERS = {
    "without a body": answering(429, body=b""),
    "64 KiB": answering(429, body=b"x" * 65536),
    "a megabyte": answering(429, body=b"x" * 1_000_000),
    "chunked": lambda request: reply(
        request, 429, [("transfer-encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n", length=False
    ),
    "endless": endless,
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", ANSWERS)
def test_nothing_of_the_refused_answer_reaches_the_client(keeping, case):
    g = keeping()
    g.upstream.script.append(ANSWERS[case])
    answer = g.send(**JAR)
    assert (answer.status, answer.body, answer.outcome) == (200, b"{}", "retried")
    assert len(g.upstream.requests) == 2
    assert g.send(cookie=answer.cookie).account == answer.account


def test_a_refused_answer_that_breaks_off(keeping):
    def cut(request):
        yield reply(request, 429, [("content-length", "100")], b"abc", length=False)
        yield RESET

    g = keeping()
    g.upstream.script.append(cut)
    # No part of it has reached the client, so Envoy can still answer itself.
    assert g.send(**JAR).status in (502, 503)
    assert g.begin().status == 200


def test_a_refused_answer_that_never_ends(gateway):
    """The filter waits for its end, but not longer than the route's timeout."""
    stalled = threading.Event()

    def stall(request):
        yield reply(request, 429, [("content-length", "100")], b"abc", length=False)
        stalled.wait(10)
        yield RESET

    g = gateway(retrying(), routes=[route(route={"timeout": "0.5s"})])
    g.upstream.script.append(stall)
    assert g.send(**JAR, body=b"").status == 504
    stalled.set()
    assert g.begin(body=b"").status == 200


@pytest.mark.smoke
def test_envoys_own_replies_are_not_retried(gateways):
    g = gateways()
    g.configure(
        routes=[route("/closed/", "closed"), route("/slow/", route={"timeout": "0.2s"})],
        clusters=[stack.cluster("closed", 1)],
    )
    g.start(retrying(retry={"status": [503, 504], "max": 3}))
    g.upstream.answer = lambda request: time.sleep(5) or reply(request)
    with g.counting() as rose:
        assert g.send(path="/closed/v1/responses", body=b"").status == 503
        assert g.send(path="/slow/v1/responses", body=b"").status == 504
    assert "retries" not in rose and len(g.upstream.requests) == 1


def test_a_retry_begins_with_the_request_as_it_came(gateway):
    """The second try does not have the router's changes of the first."""
    rewriting = route(route={"prefix_rewrite": "/api/", "host_rewrite_literal": "provider"})
    more = [{"header": {"key": "x-added", "value": "1"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}]
    g = gateway(retrying(), routes=[{**rewriting, "request_headers_to_add": more}])
    g.upstream.script.append(LIMITED)
    assert g.send(**JAR, body=b"").outcome == "retried"
    for request in g.upstream.requests:
        assert request.target == "/api/v1/responses"
        assert request.values("host") == [b"provider"]
        assert request.values("x-added") == [b"1"]


def test_an_access_log_line_for_each_try(keeping, folder):
    log = access_log(folder, ["outcome", "token"])
    text = log[0]["typed_config"]["log_format"]["text_format_source"]
    text["inline_string"] = "%RESPONSE_CODE_DETAILS% " + text["inline_string"]
    g = keeping(retrying(metadata=True), access_log=log)
    g.upstream.script.append(LIMITED)
    answer = g.send(**JAR)
    first, second = lines_of(folder, 2)
    assert first.startswith("internal_redirect") and " placed " in first, first
    assert second == f"via_upstream retried {answer.account}"


@pytest.mark.parametrize("value", ["", "junk"], ids=["empty", "refused"])
def test_a_carrier_on_a_retry(keeping, value):
    g = keeping(retrying(carrier_header="x-pin"))
    g.upstream.script.append(LIMITED)
    answer = g.send(headers=[("x-pin", value), ("x-empty", "")])
    assert (answer.status, answer.outcome) == (200, "retried")
    assert [request.values("x-empty") for request in g.upstream.requests] == [[b""]] * 2
    assert all(request.values("x-pin") == [] for request in g.upstream.requests)
    assert answer.values("set-cookie") == []
    assert opened(answer.value("x-pin"))[1] == answer.account


def test_an_update_between_the_tries(keeping):
    """The configuration in force then decides the second try, without knowledge of the first."""
    g = keeping(retrying(cooldowns=[]))

    def slowly(request):
        g.update(retrying(cooldowns=[], tokens=tokens("delta", "charlie", "bravo", "alpha")))
        return LIMITED(request)

    g.upstream.script.append(slowly)
    answer = g.send(**JAR)
    assert answer.status == 200 and len(g.upstream.requests) == 2
    assert opened(answer.cookie)[1] == answer.account


@pytest.mark.smoke
def test_retries_under_load(keeping):
    """One token is always refused; clients come, stay, and leave."""
    g = keeping(retrying(retry={"status": [401]}, cooldowns=[]))
    g.upstream.answer = lambda request: reply(request, 401 if request.account == "alpha" else 200)

    def talk(worker):
        http2 = worker % 2 == 0
        with client(http2) as own:
            for number in range(40):
                # (Over HTTP/2 this client sends an empty frame behind what may have a body.)
                options = {"method": "GET", "path": "/v1/models"} if http2 else JAR
                answer = g.send(**options, via=own)
                assert answer.status == 200 and answer.account != "alpha", answer
                assert http2 or opened(answer.cookie)[1] == answer.account
                if worker == 5 and number % 4 == 0:
                    leave()

    def leave():
        with g.connect() as connection:
            connection.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}")

    with g.counting() as rose:
        g.parallel(6, talk)
        wait_for("all streams to end", lambda: g.envoy.stat("http.gateway.downstream_rq_active") == 0)
    # The chance that no request was limited is (2/3)^240.
    assert rose["retries"] > 0
