"""The configuration of docs/guides/higress.md in front of a stand-in for ai-proxy.

Beside it, a model of ai-proxy's own selection with an anonymous cookie meets the same events. The
results of both are the page's table.
"""

import json
import pathlib
import random
import re
import uuid

import pytest
import stack
import tokenpin_twin as twin
import yaml
from gateway import ACCOUNTS, DECISION, KNOWN, forge, settings, tokens
from provider import Provider
from upstream import reply

PAGE = (pathlib.Path(__file__).parents[4] / "docs/guides/higress.md").read_text()
SESSIONS = 60
CONSUMER = "x-mse-consumer"

# The part of ai-proxy for OpenAI without `apiTokens`: it passes the credential that it finds,
# x-api-key before authorization.
AI_PROXY = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local key = headers:get("x-api-key")
  if key then
    headers:remove("x-api-key")
    headers:replace("authorization", "Bearer " .. key)
  end
end
"""


def ai_proxy():
    lua = stack.extension("filters.http.lua.v3.Lua", default_source_code={"inline_string": AI_PROXY})
    return {"name": "ai-proxy", "typed_config": lua}


def page_settings(*accounts, **fields):
    """The configuration of the page, with the accounts of the tests."""
    (block,) = re.findall(r"^```yaml\n# plugin\n(.*?)^```", PAGE, re.M | re.S)
    plugin = yaml.safe_load(block)
    assert plugin["spec"]["priority"] > 100, "in front of ai-proxy"
    printed = plugin["spec"]["defaultConfig"]
    removed = [header for header in printed["tokens"][0]["headers"] if header.get("remove")]
    listed = tokens(*accounts)
    for token in listed:
        token["headers"] = token["headers"] + removed
    own = settings()
    keys = {"placement_key": own["placement_key"], "cookie_keys": own["cookie_keys"], "id_keys": own["cookie_keys"]}
    later = {"sealed_ids": "seal"}  # The page prints the first day. These tests are of the time after the roll-out.
    return {**printed, **keys, **later, "tokens": listed, "response_header": DECISION, **fields}


def start(gateway, *accounts, **fields):
    g = gateway(page_settings(*(accounts or ACCOUNTS), **fields), behind=[ai_proxy()])
    g.upstream.answer = Provider()
    return g


def create(g, **options):
    answer = g.send(**options)
    assert answer.status == 200, answer
    return json.loads(answer.body)["id"], answer


def read(g, id, **options):
    return g.send("GET", f"/v1/responses/{id}", **options)


def test_the_client_never_chooses_the_account(gateway):
    g = start(gateway)
    own = [
        ("authorization", "Bearer sk-bravo-0123456789abcdef"),
        ("x-api-key", "sk-bravo-0123456789abcdef"),
        ("api-key", "mine"),
    ]
    served = set()
    for _ in range(20):
        answer = g.send(headers=own)
        assert answer.account in ACCOUNTS and answer.decision["outcome"] == "placed"
        request = g.upstream.last()
        assert (
            len(request.values("authorization")) == 1
            and not request.values("x-api-key")
            and not request.values("api-key")
        )
        assert g.send(headers=own, cookie=answer.cookie).account == answer.account
        assert not g.upstream.last().values("cookie")
        served.add(answer.account)
    assert served == set(ACCOUNTS)


def test_the_consumer_counts_first_and_only_state_is_pinned(gateway):
    g = start(gateway)
    for name in ("alice", "bob", "carol", "dave"):
        _, first = create(g, headers=[(CONSUMER, name)])
        order = twin.fnv1a32(name.encode()) % len(ACCOUNTS)
        assert first.account == ACCOUNTS[order], "what ai-proxy took of its apiTokens"
        assert first.decision["source"] == "consumer" and first.cookie, "so that it stays at the switch to jump"
        for other in ACCOUNTS:
            kept = g.send(headers=[(CONSUMER, name)], cookie=forge(other))
            assert kept.account == first.account, "an anonymous cookie is not the consumer's"
    g.upstream.answer = reply
    for path in ("/v1/embeddings", "/v1/chat/completions"):
        answer = g.send(path=path, headers=[(CONSUMER, "alice")])
        assert answer.decision["source"] == "stateless" and not answer.cookies


def test_moving_to_jump_moves_no_cookie(gateway):
    g = start(gateway)
    begun = {}
    for number in range(20):
        _, answer = create(g, headers=[(CONSUMER, f"consumer-{number}")])
        begun[number] = answer
    g.update(page_settings(*ACCOUNTS, strategy="jump"))
    moved = 0
    for number, answer in begun.items():
        consumer = [(CONSUMER, f"consumer-{number}")]
        assert g.send(headers=consumer, cookie=answer.cookie).account == answer.account
        moved += g.send(headers=consumer).account != answer.account
    assert moved, "without a cookie some do, once"


# ---- Beside ai-proxy's own cookie


class AiProxy:
    """The anonymous cookie of ai-proxy: a UUID, whose hash gives the number of the token."""

    def __init__(self, accounts, seed, failover=False):
        self.accounts, self.failover, self.draw = list(accounts), failover, random.Random(seed)
        self.failed = set()

    def new_cookie(self):
        return str(uuid.UUID(bytes=self.draw.randbytes(16), version=4))

    def account(self, cookie):
        up = [account for account in self.accounts if account not in self.failed]
        if self.failover:
            return self.draw.choice(up)
        return self.accounts[twin.fnv1a32(cookie.encode()) % len(self.accounts)]


class Tally:
    """Follow-ups at the right account, refused by the gateway, and at a wrong account."""

    def __init__(self):
        self.found = self.refused = self.wrong = 0

    def count(self, served, right):
        if served is None:
            self.refused += 1
        elif served == right:
            self.found += 1
        else:
            self.wrong += 1

    def __str__(self):
        return f"{self.found} found, {self.refused} refused, {self.wrong} at a wrong account"


def model(event):
    """Runs the same event for the same number of sessions of ai-proxy."""
    tally = Tally()
    proxy = AiProxy(ACCOUNTS, 7, failover=event == "failed, with failover")
    sessions = []
    for _ in range(SESSIONS):
        cookie = proxy.new_cookie()
        sessions.append((cookie, proxy.account(cookie)))
    if event == "added":
        proxy.accounts.append("delta")
    if event == "removed":
        proxy.accounts.remove("alpha")
    if event.startswith("failed"):
        proxy.failed.add("alpha")
    for cookie, right in sessions:
        if event == "forged":
            # Its holder wants bravo, and tries cookies until the hash gives it.
            while proxy.account(cookie) != "bravo":
                cookie = proxy.new_cookie()
            tally.count(proxy.account(cookie), right)
        elif event == "expired":
            tally.count(proxy.account(proxy.new_cookie()), right)  # the jar has dropped it
        elif event == "failed" and right == "alpha":
            tally.refused += proxy.account(cookie) == right  # the failed account's own answer
        else:
            tally.count(proxy.account(cookie), right)
    return tally


def through(g, event, **fields):
    tally, sessions = Tally(), []
    for _ in range(SESSIONS):
        id, answer = create(g)
        sessions.append((id, answer.cookie, answer.account))
    if event == "added":
        g.update(page_settings(*KNOWN, **fields))
    if event == "removed":
        g.update(page_settings(*ACCOUNTS[1:], **fields))
    if event.startswith("failed"):
        made = page_settings(*ACCOUNTS, **fields)
        made["tokens"][0]["state"] = "down"
        g.update(made)
    for id, cookie, right in sessions:
        if event == "forged":
            cookie = cookie[:40] + ("A" if cookie[40] != "A" else "B") + cookie[41:]
        if event == "expired":
            cookie = forge(right, age=61 * 86400)
        answer = read(g, id, cookie=cookie)
        assert answer.account is None or answer.status == 200, "the account knows it"
        tally.count(answer.account, right)
        # A request without the id has only the cookie. With a bad cookie it begins a session.
        again = g.send(cookie=cookie)
        if event in ("forged", "expired"):
            assert again.decision["outcome"] == "placed" and again.decision["verdict"] in (
                "bad_tag",
                "expired_idle",
                "expired_life",
            )
    return tally, sessions


EVENTS = ["forged", "expired", "added", "removed", "failed", "failed, with failover"]


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_reaches_a_wrong_account(gateway, event):
    g = start(gateway)
    tally, sessions = through(g, event)
    gone = sum(right == "alpha" for _, _, right in sessions)
    assert tally.wrong == 0
    assert tally.refused == (gone if event in ("removed", "failed", "failed, with failover") else 0)
    beside = model(event)
    assert event == "failed" or beside.wrong > 0
    rows = re.findall(r"^\| a (?:token|cookie) ([^|]*?) \| ([^|]*) \| ([^|]*) \|", PAGE, re.M)
    told = {name: (ours, theirs) for name, ours, theirs in rows}
    assert told[event] == (f"0 of {SESSIONS}", f"{beside.wrong} of {SESSIONS}"), f"{event}: {beside}"


@pytest.mark.parametrize("event", ["added", "failed"])
def test_a_pin_does_the_same_without_sealed_ids(gateway, event):
    g = start(gateway, sealed_ids="off")
    tally, sessions = through(g, event, sealed_ids="off")
    assert tally.wrong == 0
    assert tally.refused == sum(right == "alpha" for _, _, right in sessions) * (event == "failed")
