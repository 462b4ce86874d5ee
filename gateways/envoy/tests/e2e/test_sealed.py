"""Sealed ids: sessions that keep only their ids."""

import json

import pytest
import stack
import tokenpin_twin as twin
from provider import JSON, Provider
from upstream import answering, reply

from gateway import ACCOUNTS, COOKIE_KEYS, settings
from ids import ANTHROPIC, NATIVE, RING, chunked, ids_in, marked, opened, posted, raw_request, sealed


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "events"])
def test_chains_without_a_cookie(sealing, stream, http2):
    """Each follow-up goes where the first one went, and each client sees one id for an object."""
    g = sealing()
    accounts = set()
    for _ in range(40):
        first = posted(g, {"input": "Hello.", "stream": stream}, http2=http2)
        assert first.status == 200 and first.decision["outcome"] == "placed"
        id, account = ids_in(first)[0], first.account
        accounts.add(account)
        native, of = opened(id)
        assert of == account and g.provider.accounts[native] == account
        for _ in range(3):
            asked = {"previous_response_id": id, "stream": stream}
            next_ = posted(g, asked, http2=http2)
            assert (next_.status, next_.account) == (200, account)
            assert next_.decision["source"] == "id" and next_.decision["id_verdict"] == "sealed"
            new = ids_in(next_)
            assert id in new, "the id that the client knows is not in the answer"
            id = new[0]
        read = g.send("GET", f"/v1/responses/{id}", http2=http2)
        assert (read.status, read.account) == (200, account)
        assert json.loads(read.body) == {"id": id}
    assert accounts == set(ACCOUNTS)


@pytest.mark.smoke
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 61, 64, 100, None])
def test_streams_cut_anywhere(sealing, cut):
    g = sealing(provider=Provider(cut))
    for http2 in (False, True):
        answer = posted(g, {"input": "x", "stream": True}, http2=http2)
        assert answer.account is not None
        native = answer.body.decode()
        for id in set(ids_in(answer)):
            native = native.replace(id, opened(id)[0])
            assert opened(id)[1] == answer.account
        # Nothing else is different.
        (provided,) = g.upstream.requests[-1:]
        made = [id for id, of in g.provider.accounts.items() if id in native]
        assert len(made) == 2 and len(set(ids_in(answer))) == 2, native
        assert native.startswith("event: response.created\ndata: {") and native.endswith("}\n\n")
        assert native.count("\n\n") == 7 and not ids_in(type(answer)(200, [], native.encode()))


def test_encrypted_content(sealing):
    """A mark behind the content names its account, in JSON and in streams."""
    g = sealing()
    content = "gAAAAAB" + "o" * 300 + "=="
    item = {"type": "reasoning", "id": "rs_" + "d" * 48, "encrypted_content": content}
    text = json.dumps({"output": [item]})
    for kind, body in ((JSON, text), (("content-type", "text/event-stream"), f"data: {text}\n\n")):
        g.upstream.answer = answering(200, [kind], body.encode())
        first = posted(g, {"input": "x", "store": False})
        got = json.loads(first.body.decode().removeprefix("data: "))["output"][0]
        assert got["encrypted_content"] == marked(content, first.account)
        for _ in range(3):
            next_ = posted(g, {"input": [got], "store": False})
            assert next_.account == first.account and next_.decision["source"] == "id"
            assert json.loads(g.upstream.last().body)["input"] == [item]
    g.update(settings(sealed_ids="seal", encrypted_content=False))
    assert json.loads(posted(g, {"input": "x"}).body.decode()[6:])["output"][0]["encrypted_content"] == content


def test_messages_with_a_file_and_a_container(sealing):
    g = sealing()
    file, container = "file_011CNha8iCJcU1wXNR6q4V8w", "container_011CPR5CNjB747bTd36fQLFk"
    answer = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "container": {"id": container},
    }
    g.upstream.answer = answering(200, [JSON], json.dumps(answer).encode())
    source = {"type": "document", "source": {"type": "file", "file_id": sealed(file, "bravo")}}
    body = {"model": "m", "messages": [{"role": "user", "content": [source]}]}
    got = posted(g, body, path="/v1/messages", headers=[ANTHROPIC])
    assert got.account == "bravo" and file in g.upstream.last().body.decode()
    assert b"tp0" not in g.upstream.last().body
    told = json.loads(got.body)
    # The id of a message names no state there.
    assert told == {**answer, "container": {"id": sealed(container, "bravo")}}
    again = posted(g, {**body, "container": told["container"]["id"]}, path="/v1/messages")
    assert again.account == "bravo"


def test_two_gateways_in_a_row(gateways):
    """Each gateway opens its own seals. Their keys differ."""

    def ring(number):
        return [{"id": number, "role": "sign", "key": {"env": f"COOKIE_KEY_{number}"}}]

    inner, outer = gateways(), gateways()
    inner.upstream.answer = provider = Provider()
    inner.configure()
    inner.start(settings(sealed_ids="seal", id_keys=ring(2), scope="inner", response_header=None))
    outer.configure(upstream_port=inner.envoy.port)
    tokens = [{"name": name, "headers": [{"name": "x-team", "value": name}]} for name in "xyz"]
    outer.start(settings(sealed_ids="seal", id_keys=ring(1), tokens=tokens))
    for stream in (False, True):
        id = None
        for _ in range(4):
            body = {"stream": stream, **({"previous_response_id": id} if id else {})}
            answer = posted(outer, body)
            assert answer.status == 200, answer
            found = ids_in(answer)
            assert id is None or id in found
            id = found[0]
            native, _ = twin.open_id(RING, b"", b"", id.encode())[1:]
            both = [twin.RingKey(2, COOKIE_KEYS[2], twin.SIGN)]
            assert opened(native.decode(), scope=b"inner", ring=both)[0] in provider.accounts


def test_added_fields_prefixes_collections_and_rules(sealing):
    g = sealing(
        id_fields=[{"name": "thing_id", "kind": "id"}],
        id_prefixes=["thing_"],
        id_collections=["things"],
        rules=[
            {"pattern": "things", "group": "stateful"},
            {"pattern": "echo", "group": "stateless", "ids": "open"},
        ],
    )
    thing = "thing_42"
    g.upstream.answer = answering(200, [JSON], json.dumps({"id": thing, "other_id": thing}).encode())
    for account in ACCOUNTS:
        read = g.send("GET", f"/v1/things/{sealed(thing, account)}")
        assert read.account == account and g.upstream.last().target == f"/v1/things/{thing}"
        assert json.loads(read.body) == {"id": sealed(thing, account), "other_id": thing}
        asked = posted(g, {"thing_id": sealed(thing, account)}, path="/echo")
        assert asked.account == account and json.loads(g.upstream.last().body) == {"thing_id": thing}
        assert json.loads(asked.body)["id"] == thing


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("front", ["observes", "buffers"])
def test_behind_a_filter_that_holds_bodies(gateways, front, http2):
    """The filter in front is ours, observing, or Envoy's buffer."""
    kind = stack.extension("filters.http.buffer.v3.Buffer", max_request_bytes=1 << 24)
    if front == "observes":
        observes = settings(sealed_ids="seal", observe=True, response_header=None)
        kind = stack.module_filter(observes, "tokenpin_next")
    g = gateways()
    g.upstream.answer = provider = Provider()
    manager = {"http_protocol_options": {"enable_trailers": True}}
    g.configure(filters=[{"name": "front", "typed_config": kind}], **manager)
    g.start(settings(sealed_ids="seal"))
    provider.accounts[NATIVE] = "bravo"
    id = sealed(NATIVE, "bravo")
    for size in (1, 1000, 100_000, 3_000_000):
        asked = {"input": "x" * size, "previous_response_id": id, "more": "y" * size}
        answer = posted(g, asked, http2=http2)
        assert (answer.status, answer.account) == (200, "bravo"), size
        assert json.loads(g.upstream.last().body) == {**asked, "previous_response_id": NATIVE}
        assert json.loads(answer.body)["previous_response_id"] == id
        body = json.dumps(asked).encode()
        parts = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
        for trailers in (b"", b"x-checked: 1\r\n"):
            answer = g.raw(raw_request(chunked(parts, trailers), "transfer-encoding: chunked"))
            assert (answer.status, answer.account) == (200, "bravo"), (size, trailers)
            assert json.loads(g.upstream.last().body) == {**asked, "previous_response_id": NATIVE}


@pytest.mark.parametrize("observe", [False, True], ids=["seals", "observes"])
def test_a_body_that_is_not_understood_counts_once(sealing, observe):
    g = sealing(observe=observe)
    answers = {
        "sealed": (reply, 1),
        "not sealed": (answering(200, [("content-type", "text/plain")], b"Hello."), 1),
        "empty": (answering(204, [], b""), 1),
        "not understood either": (answering(200, [JSON], b'{"id":'), 2),
    }
    for name, (answer, count) in answers.items():
        g.upstream.script.append(answer)
        with g.counting() as rose:
            assert g.send(headers=[JSON], body=b'{"input":').status in (200, 204)
        assert rose["bodies_not_understood"] == count, name
        assert "ids_sealed" not in rose
