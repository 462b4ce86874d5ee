"""Cookie keys are rotated on two Envoys, one after the other, under the sessions of both."""

import pytest
from gateway import cookie_keys, forge, opened, settings

SESSIONS = 12

# The steps of docs/spec/cookie-format.md, each on every replica before the next.
STEPS = {
    "one key": {"sign": 1},
    "the new one is accepted": {"sign": 1, "accept": 2},
    "the new one signs": {"sign": 2, "retire": 1},
    "the old one is dropped": {"sign": 2},
}


@pytest.mark.smoke
def test_rotation_moves_no_session_and_refuses_no_cookie(gateway):
    rings = {name: settings(cookie_keys=cookie_keys(**roles)) for name, roles in STEPS.items()}
    replicas = [gateway(rings["one key"]), gateway(rings["one key"])]
    sessions = []  # account and cookie, as the clients keep them

    def follow_ups(step):
        for number, (account, cookie) in enumerate(sessions):
            replica = replicas[number % 2]
            answer = replica.send(cookie=cookie)
            seen = f"{step}: session {number}: {answer.decision}"
            assert answer.status == 200 and answer.account == account, seen
            assert answer.outcome == "pinned", seen
            assert answer.decision["verdict"] in ("valid", "refresh_due"), seen
            sessions[number] = (account, answer.cookie or cookie)
        # In the next round each session uses the other replica.
        replicas.reverse()

    for step, ring in rings.items():
        for replica in list(replicas):
            replica.update(ring)
            for other in replicas:
                begun = [other.begin() for _ in range(SESSIONS // 2)]
                sessions += [(answer.account, answer.cookie) for answer in begun]
            follow_ups(step)
            follow_ups(step)
    for _, cookie in sessions:
        opened(cookie, key_id=2)


def test_a_retired_key_is_replaced_and_an_accepted_one_is_left_alone(gateway):
    g = gateway(settings(cookie_keys=cookie_keys(sign=2, retire=1)))
    old = forge("bravo", age=1000)
    retired = g.send(cookie=old)
    assert retired.decision["verdict"] == "refresh_due"
    before, after = opened(old)[0], opened(retired.cookie, key_id=2)[0]
    assert (after.id, after.issued_at, after.pin) == (before.id, before.issued_at, before.pin)
    g.update(settings(cookie_keys=cookie_keys(sign=2, accept=1)))
    accepted = g.send(cookie=old)
    assert (accepted.decision["verdict"], accepted.cookie) == ("valid", None)
    g.update(settings(cookie_keys=cookie_keys(sign=2)))
    dropped = g.send(cookie=old)
    assert dropped.decision["verdict"] == "unknown_key"
    opened(dropped.cookie, key_id=2)
