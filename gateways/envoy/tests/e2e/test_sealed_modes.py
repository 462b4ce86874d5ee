"""Sealed ids in all modes, by route, owner, scope and key."""

import json

import pytest
import stack
import tokenpin_twin as twin
from provider import JSON
from upstream import answering, reply

from gateway import ACCOUNTS, COOKIE_KEYS, client, forge, settings, tokens
from ids import FORGED, GONE, NATIVE, OTHER, SEALED, ids_in, opened, posted, sealed


@pytest.mark.smoke
def test_off_only_looks(sealing):
    """A request that names old state is recognised, so that it never moves its session."""
    g = sealing("off", tokens=tokens(alpha={"state": "down"}))
    g.upstream.answer = answering(200, [JSON], json.dumps({"id": NATIVE}).encode())
    cookie = forge("alpha")
    new = posted(g, {"input": "x"}, cookie=cookie)
    assert new.status == 200 and new.outcome == "repinned" and new.cookie
    assert json.loads(new.body) == {"id": NATIVE}
    for body in (
        {"previous_response_id": NATIVE},
        {"previous_response_id": sealed(NATIVE, "bravo")},
        {"conversation": {"id": "conv_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"tools": [{"vector_store_ids": ["vs_1"]}]},
    ):
        before = len(g.upstream.requests)
        old = posted(g, body, cookie=cookie)
        assert (old.status, old.outcome) == (503, "rejected"), body
        assert len(g.upstream.requests) == before
    # Without reading bodies, the filter finds no state.
    g.update(settings(sealed_ids="off", bodies=False, tokens=tokens(alpha={"state": "down"})))
    blind = posted(g, {"previous_response_id": NATIVE}, cookie=cookie)
    assert (blind.status, blind.outcome) == (200, "repinned")


@pytest.mark.smoke
def test_open_only_seals_what_came_sealed(sealing):
    g = sealing("open")
    g.provider.accounts[NATIVE] = "bravo"
    first = posted(g, {"input": "x"})
    assert not ids_in(first) and first.value("content-length")
    assert g.upstream.last().value("accept-encoding") != b"identity"
    id = sealed(NATIVE, "bravo")
    next_ = posted(g, {"previous_response_id": id})
    assert (next_.status, next_.account) == (200, "bravo")
    assert json.loads(next_.body)["previous_response_id"] == id
    assert not SEALED.fullmatch(json.loads(next_.body)["id"])
    # An id with a foreign seal is a plain id here.
    posted(g, {"previous_response_id": FORGED})
    assert json.loads(g.upstream.last().body) == {"previous_response_id": FORGED}
    g.update(settings(sealed_ids="open", foreign_seals="refuse"))
    assert posted(g, {"previous_response_id": FORGED}).status == 400


def test_plain_ids_come_back_plain(sealing):
    """The client gets the ids that it knows, also in the mode that seals."""
    g = sealing()
    for account in ACCOUNTS:
        g.provider.accounts[NATIVE] = account
        answer = posted(g, {"previous_response_id": NATIVE}, cookie=forge(account))
        got = json.loads(answer.body)
        assert got["previous_response_id"] == NATIVE and opened(got["id"])[1] == account


@pytest.mark.smoke
def test_routes(sealing):
    modes = ["off", "open", "seal", "strict"]
    routes = [
        {
            "match": {"prefix": f"/{mode}/"},
            "route": {"cluster": "upstream", "prefix_rewrite": "/"},
            "typed_per_filter_config": stack.module_route({"sealed_ids": mode}),
        }
        for mode in modes
    ]
    g = sealing("seal", routes=routes)
    for mode in modes:
        first = posted(g, {"input": "x"}, path=f"/{mode}/v1/responses")
        assert bool(ids_in(first)) == (mode in ("seal", "strict")), mode
        g.provider.accounts[NATIVE] = "charlie"
        id = sealed(NATIVE, "charlie")
        read = g.send("GET", f"/{mode}/v1/responses/{id}")
        assert g.upstream.last().target == f"/v1/responses/{id if mode == 'off' else NATIVE}"
        if mode != "off":
            assert (read.account, json.loads(read.body)) == ("charlie", {"id": id})
        plain = posted(g, {"previous_response_id": NATIVE}, path=f"/{mode}/v1/responses")
        assert (plain.status == 400) == (mode == "strict"), mode


@pytest.mark.smoke
def test_owners(sealing):
    g = sealing(id_owner="consumer", scope="s")
    owner = {"scope": b"s", "owner": b"alice"}
    first = posted(g, {"input": "x"}, consumer="alice")
    id = ids_in(first)[0]
    assert opened(id, **owner) == (list(g.provider.accounts)[0], first.account)
    for consumer, status in (("alice", 200), ("bob", 400), (None, 400)):
        answer = posted(g, {"previous_response_id": id}, consumer=consumer)
        assert answer.status == status, consumer
    nobodys = ids_in(posted(g, {"input": "x"}))[0]
    assert opened(nobodys, scope=b"s")
    assert posted(g, {"previous_response_id": nobodys}, consumer="alice").status == 400


def test_scopes(sealing):
    """An id sealed in the scope of one route or tenant is invalid in another."""
    routes = [
        {
            "match": {"prefix": "/other/"},
            "route": {"cluster": "upstream", "prefix_rewrite": "/"},
            "typed_per_filter_config": stack.module_route({"scope": "other"}),
        }
    ]
    g = sealing(routes=routes, scope="s", tenant={"header": "x-tenant"})
    places = {}
    for prefix, name in (("", b"s"), ("/other", b"other")):
        for tenant in (None, "a", "b"):
            scope = name + (b"\0" + tenant.encode() if tenant else b"")
            places[scope] = f"{prefix}/v1/responses", [("x-tenant", tenant)] if tenant else []
    ids = {}
    for scope, (path, headers) in places.items():
        answer = posted(g, {"input": "x"}, path=path, headers=headers)
        (ids[scope],) = ids_in(answer)
        assert opened(ids[scope], scope=scope)[1] == answer.account
    for of, id in ids.items():
        for scope, (path, headers) in places.items():
            answer = posted(g, {"previous_response_id": id}, path=path, headers=headers)
            assert answer.status == (200 if scope == of else 400), (scope, of)


@pytest.mark.smoke
def test_rotation(sealing):
    """Ids that another key has sealed still work, and come back unchanged."""

    def ring(**roles):
        return [{"id": id, "role": role, "key": {"env": f"COOKIE_KEY_{id}"}} for role, id in roles.items()]

    g = sealing(id_keys=ring(sign=1))
    old = ids_in(posted(g, {"input": "x"}))[0]
    g.update(settings(sealed_ids="seal", id_keys=ring(sign=2, accept=1)))
    next_ = posted(g, {"previous_response_id": old})
    got = json.loads(next_.body)
    assert next_.status == 200 and got["previous_response_id"] == old
    both = [twin.RingKey(2, COOKIE_KEYS[2], twin.SIGN)]
    assert opened(got["id"], ring=both)[1] == next_.account
    g.update(settings(sealed_ids="seal", id_keys=ring(sign=2)))
    assert posted(g, {"previous_response_id": old}).status == 400
    assert posted(g, {"previous_response_id": got["id"]}).status == 200


def test_a_reload_while_a_stream_runs(sealing):
    import threading

    g = sealing()
    go_on = threading.Event()

    def events(request):
        head = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
        yield reply(request, 200, head, b"", length=False)
        for _ in range(2):
            part = f'data: {{"id":"{NATIVE}"}}\n\n'.encode()
            # The second one is cut.
            yield b"%x\r\n%s\r\n" % (10, part[:10])
            assert go_on.wait(10)
            yield b"%x\r\n%s\r\n" % (len(part) - 10, part[10:])
        yield b"0\r\n\r\n"

    g.upstream.answer = events
    with client() as own, own.stream("POST", g.url + "/v1/responses", content=b"{}") as response:
        parts = response.iter_raw()
        account = response.headers["x-account"]
        g.update(
            settings(
                sealed_ids="off",
                cookie_keys=[{"id": 2, "role": "sign", "key": {"env": "COOKIE_KEY_2"}}],
            )
        )
        go_on.set()
        text = b"".join(parts).decode()
    assert text == f'data: {{"id":"{sealed(NATIVE, account)}"}}\n\n' * 2


@pytest.mark.smoke
def test_observing_changes_nothing(sealing):
    g = sealing(observe=True, metadata=True)
    seen = json.dumps({"id": NATIVE}).encode()
    g.upstream.answer = answering(200, [JSON, ("etag", '"x"'), ("location", f"/v1/files/{OTHER}")], seen)
    body = json.dumps({"previous_response_id": sealed(NATIVE, "bravo")}).encode()
    with g.counting() as rose:
        answer = posted(g, body, headers=[("accept-encoding", "gzip")])
    assert (answer.status, answer.body) == (200, seen)
    assert answer.value("etag") == '"x"' and answer.value("location") == f"/v1/files/{OTHER}"
    assert answer.value("content-length") == str(len(seen))
    got = g.upstream.last()
    assert got.body == body and got.value("accept-encoding") == b"gzip" and got.account is None
    assert rose["ids_opened"] == 1 and rose["ids_sealed"] == 1 and rose["source_id"] == 1
    # Requests pass that would be refused.
    for headers in ([("content-encoding", "gzip")], []):
        assert posted(g, b'{"previous_response_id":"' + GONE.encode() + b'"}', headers=headers).status == 200
