"""The recipes of docs/guides/recipes.md work as printed."""

import base64
import hmac
import json
import time

import pytest
import recipes
from gateway import ACCOUNTS, consumer_of, forge, tokens
from stack import wait_for
from upstream import Upstream, answering, reply


def test_every_recipe_is_run():
    ours = {"bodies", "consumers by JWT", "hour-long tokens", "azure"}
    assert set(recipes.BLOCKS) == ours | {"cookies across sites", "a carrier across sites"}


@pytest.mark.smoke
def test_bodies(gateways):
    g = gateways()
    recipes.start(g, "bodies")
    fields = {**g.envoy.settings, "tokens": tokens(alpha={"state": "down"})}
    g.update(fields)
    naming = [
        {"operationName": "operations/1"},
        {"cachedContent": "cachedContents/1"},
        {"input": "x" * 100_000, "cachedContent": "cachedContents/1"},
    ]
    creating = [
        {},
        {"input": "cachedContent"},
        {"cachedContent": None, "operationName": ""},
        {"metadata": {"cachedContent": "cachedContents/1"}},
    ]
    kind = [("content-type", "application/json")]
    for path in ("/v1/models/m:predictLongRunning", "/v1/models/m:generateContent"):
        for body in naming + creating:
            text = json.dumps(body).encode()
            answer = g.send(path=path, headers=kind, cookie=forge("alpha"), body=text)
            assert answer.status == (503 if body in naming else 200), (path, body)


def test_consumers_by_jwt(gateways, folder):
    """The subject of a good token is the consumer, regardless of the client's other headers."""
    g = gateways()
    key = b"a key that the issuer and Envoy share"

    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def signed(subject, key=key):
        claims = {"iss": "https://login.example.com", "sub": subject, "exp": int(time.time()) + 60}
        parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims)]
        tag = hmac.digest(key, ".".join(parts).encode(), "sha256")
        return [("authorization", f"Bearer {'.'.join([*parts, encoded(tag)])}")]

    keys = {"keys": [{"kty": "oct", "alg": "HS256", "k": encoded(key)}]}
    (folder / "jwks.json").write_text(json.dumps(keys))
    recipes.start(g, "consumers by JWT", replace=[("/etc/envoy", str(folder))])
    for account in ACCOUNTS:
        subject = consumer_of(account)
        for beside in ([], [("x-consumer", consumer_of(other)) for other in ACCOUNTS]):
            answer = g.send(headers=[*signed(subject), *beside])
            assert answer.status == 200
            assert answer.account == account and answer.decision["source"] == "consumer"
            assert answer.decision["key_reason"] == "ok"
    before = len(g.upstream.requests)
    for headers in ([], [("x-consumer", "mallory")], signed("mallory", b"another key")):
        assert g.send(headers=headers).status == 401
    assert len(g.upstream.requests) == before


def test_hour_long_tokens(gateways, folder):
    """Each account has its own token, which is fetched, added, and renewed before it ends."""
    g = gateways()
    identity = Upstream({})
    issued = {}

    def issue(request):
        form = dict(pair.split("=") for pair in request.body.decode().split("&"))
        assert form["client_secret"] == f"secret-of-{form['client_id']}"
        issued[form["client_id"]] = issued.get(form["client_id"], 0) + 1
        token = f"{form['client_id']}-{issued[form['client_id']]}"
        body = {"access_token": token, "token_type": "bearer", "expires_in": 2}
        kind = [("content-type", "application/json")]
        return reply(request, 200, kind, json.dumps(body).encode())

    identity.answer = issue
    for name in ("account-a", "account-b"):
        secret = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": name,
            "generic_secret": {"secret": {"inline_string": f"secret-of-{name}"}},
        }
        (folder / f"{name}.yaml").write_text(json.dumps({"resources": [secret]}))
    identity.script[:] = [answering(503)] * 2  # both accounts' first tries
    ports = {"account-a": g.upstream.port, "account-b": g.upstream.port, "identity": identity.port}
    recipes.start(g, "hour-long tokens", ports, [("/etc/envoy", str(folder))])

    def sent(name):
        with_own = [("authorization", "Bearer mine"), ("x-account", "b")]
        answer = g.send(cookie=forge(name), headers=with_own)
        if answer.status != 200:
            assert answer.status == 401 and answer.account is None, answer
            return None
        assert answer.outcome == "pinned"
        assert g.upstream.last().values("x-account") == []
        return g.upstream.last().value("authorization").decode()

    assert sent("account-a") is sent("account-b") is None and not issued
    first = {}
    for name in ("account-a", "account-b"):
        first[name] = wait_for("a token", lambda n=name: sent(n))
        assert first[name].startswith(f"Bearer {name}-")
    for name in first:
        wait_for("another token", lambda n=name: sent(n) not in (None, first[n]))
    assert g.counters()["cooldowns"] == 0
    identity.close()


def test_azure(gateways, folder):
    g = gateways()
    other = Upstream({})
    for name in ("sweden", "texas"):
        (folder / f"{name}.key").write_text(f"key-of-{name}\n")
    ports = {"sweden": g.upstream.port, "texas": other.port}
    recipes.start(g, "azure", ports, [("/etc/envoy", str(folder))])
    deployments = {"sweden": "chat-2026-sweden", "texas": "chat"}
    for name, upstream in (("sweden", g.upstream), ("texas", other)):
        for path in ("/openai/v1/responses", "/openai/deployments/chat/chat/completions?v=1"):
            mine = [("authorization", "Bearer mine"), ("api-key", "mine"), ("x-account", "texas")]
            before = len(upstream.requests)
            while len(upstream.requests) == before:  # stateless ones go to either
                answer = g.send(path=path, cookie=forge(name), headers=mine)
                assert answer.status == 200
            got = upstream.last()
            assert got.values("host") == [f"{name}.openai.azure.com".encode()]
            assert got.values("api-key") == [f"key-of-{name}".encode()]
            assert got.values("authorization") == got.values("x-account") == []
            assert got.target == path.replace("s/chat/", f"s/{deployments[name]}/", 1)
    # A new key needs no restart.
    (folder / "next").write_text("key-2-of-sweden")
    (folder / "next").replace(folder / "sweden.key")
    wait_for("the new key", lambda: g.counters()["secrets_applied"] == 1)
    g.send(cookie=forge("sweden"))
    assert g.upstream.last().value("api-key") == b"key-2-of-sweden"
    other.close()
