"""The policies for a session whose token cannot serve it."""

import json
import time

import pytest
from gateway import consumer_of, forge, opened, settings, tokens

NEW = ("POST", "/v1/responses")
EXISTING = ("GET", "/v1/responses/resp_1")

POLICIES = ["fail_fast", "fallback_and_update", "fallback_without_update"]


def expected_when_down(policy, request):
    if policy == "fail_fast":
        return "rejected"
    return "repinned" if (policy, request) == ("fallback_and_update", NEW) else "fallback"


def configuration(policy, request, state):
    field = "policy_new" if request is NEW else "policy_existing"
    other = "policy_existing" if request is NEW else "policy_new"
    # The other policy is set so that a mix-up shows.
    wrong = "fallback_without_update" if policy == "fail_fast" else "fail_fast"
    present = tokens("bravo", "charlie") if state == "gone" else tokens(alpha={"state": state})
    return settings(tokens=present, **{field: policy, other: wrong})


@pytest.mark.smoke
@pytest.mark.parametrize("state", ["down", "gone", "draining"])
@pytest.mark.parametrize("request_", [NEW, EXISTING], ids=["new", "existing"])
@pytest.mark.parametrize("policy", POLICIES)
def test_policy(gateway, policy, request_, state):
    g = gateway(configuration(policy, request_, state))
    outcome = {
        "down": expected_when_down(policy, request_),
        # Waiting cannot bring it back, so the policy does not matter.
        "gone": "repinned" if request_ is NEW else "fallback",
        "draining": "pinned",
    }[state]
    cookie = forge("alpha", age=100)
    method, path = request_
    with g.counting() as rose:
        answer = g.send(method, path, cookie=cookie)
    assert rose[f"outcome_{outcome}"] == 1, rose
    assert rose[f"pin_state_{state}"] == 1, rose
    if outcome == "rejected":
        assert answer.status == 503 and not g.upstream.requests
        assert json.loads(answer.body)["error"]["code"] == "session_unavailable"
        assert answer.cookie is None
        return
    assert answer.status == 200
    assert answer.decision["outcome"] == outcome
    assert answer.decision["pin_state"] == state
    assert (answer.account == "alpha") == (outcome == "pinned")
    if outcome == "repinned":
        old, _ = opened(cookie)
        new, account = opened(answer.cookie)
        assert account == answer.account
        assert (new.id, new.issued_at) == (old.id, old.issued_at)
    else:
        assert answer.cookie is None, "the pin must stay"


@pytest.mark.smoke
def test_fallback_without_update_returns_when_the_token_does(gateway):
    policy = {"policy_new": "fallback_without_update"}
    g = gateway(settings(tokens=tokens(alpha={"state": "down"}), **policy))
    cookie = forge("alpha")
    away = g.send(cookie=cookie)
    g.update(settings(**policy))
    back = g.send(cookie=cookie)
    assert (away.outcome, back.outcome) == ("fallback", "pinned")
    assert away.account != "alpha" and back.account == "alpha"


def test_a_repinned_session_stays_when_the_token_comes_back(gateway):
    g = gateway(settings(tokens=tokens(alpha={"state": "down"})))
    moved = g.send(cookie=forge("alpha"))
    g.update(settings())
    again = g.send(cookie=moved.cookie)
    assert (again.outcome, again.account) == ("pinned", moved.account)


def test_a_keyed_session_falls_back_and_returns_without_a_cookie(gateway):
    consumer = consumer_of("alpha")
    g = gateway(settings(tokens=tokens(alpha={"state": "down"})))
    away = g.send(consumer=consumer)
    g.update(settings())
    back = g.send(consumer=consumer)
    assert away.account != "alpha" and back.account == "alpha"
    assert away.cookie is None and back.cookie is None


def test_draining_sends_new_anonymous_sessions_elsewhere(gateway):
    g = gateway(settings(tokens=tokens(alpha={"state": "draining"})))
    # The chance that alpha gets none of 40 is (2/3)^40, less than 1e-7.
    begun = {g.begin().account for _ in range(40)}
    assert begun == {"bravo", "charlie"}
    # A new keyed session looks like one that is already there.
    assert g.send(consumer=consumer_of("alpha")).account == "alpha"


def test_draining_and_down_end_at_until(gateway):
    soon = int(time.time()) + 3
    states = {"alpha": {"state": "down", "until": soon}, "bravo": {"state": "draining", "until": 1}}
    g = gateway(settings(tokens=tokens(**states)))
    down = g.send("GET", "/v1/responses/resp_1", cookie=forge("alpha"))
    up = g.send(cookie=forge("bravo"))
    time.sleep(max(0.0, soon - time.time()) + 0.05)
    back = g.send("GET", "/v1/responses/resp_1", cookie=forge("alpha"))
    assert down.status == 503
    assert up.decision["pin_state"] in ("home", "elsewhere"), "its until is long past"
    assert (back.status, back.account) == (200, "alpha")


@pytest.mark.smoke
def test_no_token_at_all_is_a_503(gateway):
    down = {account: {"state": "down"} for account in ("alpha", "bravo", "charlie")}
    g = gateway(settings(tokens=tokens(**down)))
    for path in ("/v1/responses", "/v1/models"):
        with g.counting() as rose:
            answer = g.send("POST", path)
        assert answer.status == 503
        assert answer.value("content-type") == "application/json"
        error = json.loads(answer.body)["error"]
        assert error.pop("message")
        assert error == {"type": "gateway_error", "param": None, "code": "no_account_available"}
        assert rose["outcome_none"] == 1
    assert not g.upstream.requests


@pytest.mark.smoke
@pytest.mark.parametrize("policy", POLICIES)
def test_headers_that_do_not_move_with_a_session(gateway, policy):
    """Headers that the old account made do not go to the new one; all others do."""
    fields = {"policy_new": policy, "policy_existing": policy, "drop_when_moved": ["X-Turn-State"]}
    g = gateway(settings(tokens=tokens(alpha={"state": "down"}), **fields))
    made_there = [("x-turn-state", "alpha's"), ("X-Turn-State", "alpha's too"), ("x-other", "1")]
    for request_ in (NEW, EXISTING):
        for pinned, moves in {"alpha": True, "gone": True, "bravo": False}.items():
            answer = g.send(*request_, cookie=forge(pinned), headers=made_there)
            if answer.status == 503:
                assert policy == "fail_fast" and pinned == "alpha"
                continue
            got = g.upstream.last()
            assert got.values("x-turn-state") == ([] if moves else [b"alpha's", b"alpha's too"])
            assert got.values("x-other") == [b"1"]
    # Without a cookie the previous account of a session is unknown.
    for options in ({}, {"consumer": "alice"}, {"path": "/v1/models"}):
        assert g.send(**options, headers=made_there).status == 200
        assert len(g.upstream.last().values("x-turn-state")) == 2
