"""Requests that several files of tests ask alike."""

import json

import tokenpin_twin as twin
from gateway import COOKIE_KEYS, client, encoded
from provider import JSON

RING = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
NATIVE = "resp_" + "0123456789abcdef" * 3


def sealed(native, account):
    return twin.seal_id(RING, b"", b"", native.encode(), twin.identity_hash(account.encode())).decode()


def posted(g, body, **options):
    return g.send("POST", "/v1/responses", body=json.dumps(body).encode(), headers=[JSON], **options)


def newcomers(g, count):
    """The accounts of new sessions, each over its own connection: so each worker gets some."""
    accounts = []
    for _ in range(count):
        with client() as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=b"{}")
            accounts.append(answer.headers["x-account"])
    return accounts
