"""Two gateways with equal configurations give every client the same account."""

import pytest
from gateway import ACCOUNTS, CONSUMER, SESSION, forge, settings

# The headers that a client sends, by its number.
KEYED = {
    "consumer": lambda n: [(CONSUMER, f"user-{n}")],
    "session": lambda n: [(SESSION, f"chat-{n}")],
}


def both(n):
    return [*KEYED["consumer"](n % 50), *KEYED["session"](n)]


def hint(n):
    return [("x-client", f"client-{n}")]


def cookie(n):
    return [("cookie", f"__Host-tokenpin={forge(ACCOUNTS[n % 3])}")]


def carrier(n):
    return [("x-pin", forge(ACCOUNTS[n % 3]))]


CHAT = "/v1/chat/completions"
SOURCES = {
    "consumer": ({}, KEYED["consumer"], "/v1/responses"),
    "session": ({}, KEYED["session"], "/v1/responses"),
    "own credential": (
        {"session": [{"header": SESSION}, {"header": "authorization"}]},
        lambda n: [("authorization", f"Bearer client-{n}")],
        "/v1/responses",
    ),
    "combined": ({"combine_keys": True}, both, "/v1/responses"),
    "tenants": ({"tenant": {"header": CONSUMER}}, both, "/v1/responses"),
    "cookie": ({}, cookie, "/v1/files"),
    "carrier": ({"carrier_header": "x-pin"}, carrier, "/v1/responses"),
    "id hint": ({"id_hint": {"header": "x-client"}}, hint, "/v1/responses"),
    "id hint, higress": (
        {"id_hint": {"header": "x-client"}, "strategy": "higress_fnv1a_modulo"},
        hint,
        "/v1/responses",
    ),
    "rendezvous": ({"strategy": "rendezvous"}, KEYED["consumer"], "/v1/responses"),
    "higress": ({"strategy": "higress_fnv1a_modulo"}, KEYED["consumer"], "/v1/responses"),
    "prompt cache": ({"prompt_cache": True}, KEYED["session"], CHAT),
    "prompt cache, id hint": ({"prompt_cache": True, "id_hint": {"header": "x-client"}}, hint, CHAT),
    "prompt cache, cookie": ({"prompt_cache": True}, cookie, CHAT),
}


def accounts(g, path, send, clients):
    return [g.send(path=path, headers=send(number)).account for number in range(clients)]


def compare(gateways, fields, send, path, clients):
    one, two = gateways(), gateways()
    for g in (one, two):
        g.configure()
        g.start(settings(**fields))
    fingerprints = [g.counters()["config_fingerprint"] for g in (one, two)]
    assert fingerprints[0] == fingerprints[1]
    first = accounts(one, path, send, clients)
    assert set(first) == set(ACCOUNTS), "each account serves some client"
    assert accounts(two, path, send, clients) == first
    return one, two


@pytest.mark.parametrize("source", SOURCES)
def test_every_client_has_one_account(gateways, source):
    fields, send, path = SOURCES[source]
    compare(gateways, fields, send, path, 500)


@pytest.mark.smoke
def test_a_first_request_on_each_of_two(gateways):
    """The cookies that a client gets from both belong to one session."""
    one, two = compare(gateways, *SOURCES["id hint"], 40)
    for number in range(40):
        begun = [g.send(headers=hint(number)) for g in (one, two)]
        assert begun[0].account == begun[1].account
        jar = "; ".join(f"__Host-tokenpin={answer.cookie}" for answer in begun)
        again = one.send("GET", headers=[("cookie", jar)])
        assert again.account == begun[0].account
    assert one.counters()["ambiguous"] == 0, "equal ids"


def test_connections_of_two_are_different_clients(gateways):
    """All Envoys number their connections from the start, so a number is another client on each."""
    one, two = gateways(), gateways()
    for g in (one, two):
        g.configure()
        g.start(settings(id_hint={"connection": True}))
    ids = []
    for g in (one, two):
        answers = g.multiplex(*[[]] * 8)
        jar = "; ".join(f"__Host-tokenpin={answer.cookie}" for answer in answers)
        assert len({answer.account for answer in answers}) == 1
        ids.append(answers[0].cookie)
        with g.counting() as rose:
            g.send("GET", headers=[("cookie", jar)])
        assert "ambiguous" not in rose
    with one.counting() as rose:
        one.send("GET", headers=[("cookie", "; ".join(f"__Host-tokenpin={id}" for id in ids))])
    assert rose["ambiguous"] == 1
