"""Sealed ids: sessions that keep nothing but the ids that they were given."""

import json
import re

import pytest
import stack
import tokenpin_twin as twin
from gateway import ACCOUNTS, COOKIE_KEYS, SESSION, client, encoded, forge, settings, tokens
from provider import JSON, Provider
from upstream import answering, reply

RING = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
SEALED = re.compile(r"[a-z]+[_-][A-Za-z0-9_-]+tp[012]")


def sealed(native, account, scope=b"", owner=b"", ring=RING):
    """The id as the filter would seal it."""
    pin = twin.identity_hash(account.encode())
    return twin.seal_id(ring, scope, owner, native.encode(), pin).decode()


def opened(text, scope=b"", owner=b"", ring=RING):
    """The native id, and the account that it names."""
    verdict, native, pin = twin.open_id(ring, scope, owner, text.encode())
    assert verdict == "sealed", (verdict, text)
    accounts = {twin.identity_hash(account.encode()): account for account in ACCOUNTS}
    return native.decode(), accounts[pin]


def posted(g, body, path="/v1/responses", **options):
    headers = [JSON, *options.pop("headers", [])]
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return g.send("POST", path, body=text, headers=headers, **options)


def ids_in(answer):
    """All ids in an answer, of a stream or not."""
    return SEALED.findall(answer.body.decode())


@pytest.fixture
def sealing(gateway):
    """Starts a gateway that seals, with a provider behind it."""

    def start(mode="seal", provider=None, routes=None, environment=None, manager=None, **fields):
        g = gateway(
            settings(sealed_ids=mode, **fields),
            routes=routes,
            environment=environment,
            **(manager or {}),
        )
        g.upstream.answer = g.provider = provider or Provider()
        return g

    return start


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
