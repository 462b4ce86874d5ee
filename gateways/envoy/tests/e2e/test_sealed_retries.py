"""Sealed ids of requests that are tried again."""

import json

import pytest
from provider import JSON
from upstream import answering, reply

from gateway import forge, tokens
from ids import NATIVE, chunked, ids_in, opened, posted, sealed

RETRY = {"status": [429], "max": 2}
KEEPS = {
    "match": {"prefix": "/"},
    "route": {
        "cluster": "upstream",
        "retry_policy": {
            "retry_on": "retriable-status-codes",
            "retriable_status_codes": [599],
            "num_retries": 1,
        },
    },
}


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_what_a_named_client_creates_moves_without_a_cookie(sealing, http2):
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[])
    history = [{"type": "message", "id": sealed("msg_" + "b" * 48, "alpha"), "content": "x" * 5000}]
    body = {"input": history, "store": False}
    for number in range(10):
        g.upstream.script = [answering(429)]
        answer = posted(g, body, session=f"s{number}", http2=http2)
        assert answer.status == 200 and answer.outcome == "retried" and answer.cookie is None
        tries = g.upstream.requests[-2:]
        assert tries[0].account != tries[1].account == answer.account
        # The second try has the body of the first.
        assert tries[0].body == tries[1].body
        assert json.loads(tries[0].body)["input"][0]["id"] == "msg_" + "b" * 48
        id = ids_in(answer)[0]
        assert opened(id)[1] == answer.account
        # The home of the session is another account.
        next_ = posted(g, {"previous_response_id": id}, session=f"s{number}", http2=http2)
        assert (next_.status, next_.account) == (200, answer.account)


def test_a_second_try_knows_what_the_first_one_opened(sealing):
    """The body of the second try has native ids, which the client did not send."""
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[])
    item = "msg_" + "b" * 48
    history = [{"type": "message", "id": sealed(item, "alpha"), "content": "x"}]
    body = json.dumps({"first_id": item}).encode()
    g.upstream.script = [answering(429), answering(200, [JSON], body)]
    answer = posted(g, {"input": history, "store": False})
    assert answer.outcome == "retried" and answer.decision["id_verdict"] == "sealed"
    assert json.loads(answer.body) == {"first_id": sealed(item, answer.account)}


@pytest.mark.smoke
def test_a_sealed_request_never_moves(sealing):
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[])
    g.upstream.answer = answering(429, [JSON], json.dumps({"id": NATIVE}).encode())
    for body in (
        {"previous_response_id": sealed(NATIVE, "bravo")},
        {"input": [{"type": "item_reference", "id": sealed("msg_" + "c" * 48, "bravo")}]},
        {"input": [{"type": "message", "id": sealed("msg_" + "c" * 48, "bravo"), "content": ""}]},
    ):
        for more in ({}, {"session": "s"}, {"cookie": forge("alpha")}):
            before = len(g.upstream.requests)
            answer = posted(g, body, **more)
            assert (answer.status, answer.account) == (429, "bravo"), (body, more)
            assert len(g.upstream.requests) == before + 1


def test_an_answer_that_was_held_is_sealed(sealing):
    """No other token could answer instead."""
    g = sealing(retry=RETRY, routes=[KEEPS], cooldowns=[], tokens=tokens("alpha"), mint_single=True)
    text = json.dumps({"id": NATIVE, "more": "x" * 5000}).encode()
    for framing in ("length", "chunked", "trailers"):

        def answer_429(request, framing=framing):
            if framing == "length":
                return reply(request, 429, [JSON], text)
            head = [JSON, ("transfer-encoding", "chunked")]
            return reply(request, 429, head, b"", length=False) + chunked(
                [text[:30], text[30:]], b"x: 1\r\n" if framing == "trailers" else b""
            )

        g.upstream.answer = answer_429
        answer = posted(g, {"input": "x"})
        assert answer.status == 429
        assert json.loads(answer.body) == {"id": sealed(NATIVE, "alpha"), "more": "x" * 5000}
