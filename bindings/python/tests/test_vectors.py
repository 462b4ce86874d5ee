"""All of tests/vectors, whose README says how the files read."""

import csv
import json
import os

import pytest
import tokenpin
from conftest import VECTORS

unhex = bytes.fromhex


def load(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)


def hex64(number):
    return "%016x" % number


def key_of(case):
    if case is None:
        return None
    make = [tokenpin.Key.anonymous, tokenpin.Key.consumer, tokenpin.Key.session, tokenpin.Key.combined][case["kind"]]
    return make(
        *(unhex(case[name]) for name in ("key", "session") if name in case and (name == "key" or case["kind"] == 3))
    )


def slots_of(cases):
    return [
        None if case is None else (unhex(case["identity"]), case["state"], case["weight"], case["until"])
        for case in cases
    ]


def keys_of(cases):
    return [tokenpin.CookieKey(case["id"], unhex(case["secret"]), case["role"]) for case in cases]


JUMPS = sorted(name for name in os.listdir(VECTORS) if name.startswith("jump_"))


@pytest.mark.parametrize("name", JUMPS)
def test_jump_gives_what_others_published(name):
    with open(os.path.join(VECTORS, name), newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert rows
    for row in rows:
        bucket = row["reference_f64" if "reference_f64" in row else "bucket"]
        assert tokenpin.jump(int(row["key"]), int(row["n"])) == int(bucket), row


def test_selection():
    file = load("selection_v1.json")
    for case in file["identity_hash"]:
        assert hex64(tokenpin.identity_hash(unhex(case["identity"]))) == case["hash"]
    for case in file["key_hash"]:
        h = tokenpin.key_hash(unhex(case["placement_key"]), key_of(case["key"]), unhex(case["scope"]))
        assert hex64(h) == case["h"], case
    for case in file["jump"]:
        assert tokenpin.jump(int(case["key"], 16), case["n"]) == case["bucket"], case
    for case in file["select"]:
        slots = tokenpin.Slots(slots_of(case["slots"]))
        options = {name: case[name] for name in ("strategy", "now", "anonymous", "tried")}
        h = int(case["h"], 16)
        assert slots.select(h, key=key_of(case.get("key")), **options) == case["slot"], case
        if case["strategy"] != "higress_fnv1a_modulo":
            assert slots.select_batch([h], **options) == [case["slot"]]


def cookie_fields(cookie):
    return cookie and {
        "kind": cookie.kind.number,
        "issued_at": cookie.issued_at,
        "refreshed_at": cookie.refreshed_at,
        "id": cookie.id.hex(),
        "pin": hex64(cookie.pin),
    }


def test_cookies():
    file = load("cookie_v1.json")
    kinds = list(tokenpin.Kind)
    for case in file["encode"]:
        it = case["cookie"]
        cookie = tokenpin.Cookie(
            kinds[it["kind"]], unhex(it["id"]), int(it["pin"], 16), it["issued_at"], it["refreshed_at"]
        )
        value = tokenpin.KeyRing(keys_of(case["ring"])).encode(
            cookie, name=case["name"], scope=unhex(case["scope"]), key=key_of(case["key"])
        )
        assert value == case["value"], case
    for case in file["decode"]:
        verdict, cookie = tokenpin.KeyRing(keys_of(case["ring"])).decode(
            case["value"],
            name=case["name"],
            scope=unhex(case["scope"]),
            key=key_of(case["key"]),
            now=case["now"],
            **case["limits"],
        )
        assert (verdict, cookie_fields(cookie)) == (case["verdict"], case["cookie"]), case
    for case in file["header"]:
        field, name = case["field"], case["name"]
        for given in (field, field.encode()):
            like = type(given)
            values = [value if like is str else value.decode() for value in tokenpin.cookie_values(given, name)]
            stripped = tokenpin.cookie_strip(given, name)
            assert isinstance(stripped, like)
            stripped = stripped if like is str else stripped.decode()
            assert (values, stripped) == (case["values"], case["stripped"]), case
    for case in file["default_name"]:
        assert tokenpin.default_cookie_name(unhex(case["scope"])) == case["name"]


def test_single_ids():
    file = load("ids_v1.json")

    def place(case):
        return tokenpin.IdRing(keys_of(case["ring"])), {"scope": unhex(case["scope"]), "owner": unhex(case["owner"])}

    for case in file["seal"]:
        ring, where = place(case)
        pin = int(case["pin"], 16)
        if case["sealed"] is None:
            with pytest.raises(tokenpin.Error) as raised:
                ring.seal(case["id"], pin, **where)
            assert raised.value.status == "id"
        else:
            assert ring.seal(case["id"], pin, **where) == case["sealed"], case
    for case in file["mark"]:
        ring, where = place(case)
        assert ring.mark(case["content"], int(case["pin"], 16), **where) == case["mark"], case
    for section, name in (("open", "native"), ("open_mark", "content")):
        for case in file[section]:
            ring, where = place(case)
            verdict, opened = getattr(ring, section)(case["text"], **where)
            expected = None if case[name] is None else (case[name], int(case["pin"], 16))
            assert verdict == case["verdict"], case
            assert (opened and (opened.native, opened.pin)) == expected, case


def summary_of(opener):
    def numbers(keys):
        return [255 if key is None else key for key in keys]

    account = opener.account
    return {
        "verdict": opener.verdict,
        "keys": numbers(opener.keys),
        "refused": opener.refused,
        "unreadable": opener.unreadable,
        "existing": opener.existing,
        "unstored": opener.unstored,
        "uploads": opener.uploads,
        "downloads": opener.downloads,
        "quoted": opener.quoted,
        "opened": opener.opened,
        "plain": opener.plain,
        "account": account and {"pin": hex64(account[0]), "key": numbers(account[1:])[0]},
    }


def in_chunks(body, size):
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("size", [1, 2, 7, 1000000])
def test_ids_of_bodies(size):
    file = load("id_bodies_v1.json")
    (given,) = file["with"]
    names = ["account-a", "account-b"]
    assert [hex64(tokenpin.identity_hash(name)) for name in names] == given["accounts"]
    affinity = tokenpin.Affinity(names, placement_key=b"p" * 16, cookie_keys=keys_of(given["ring"]))
    slot = given["accounts"].index(given["pin"])
    where = {"scope": unhex(given["scope"]), "owner": unhex(given["owner"])}
    for case in file["responses"]:
        sealer = affinity.sealer(slot, ids=case["ids"], events=case["events"], mode="seal", **where)
        out = b"".join(sealer.rewrite(in_chunks(case["body"].encode(), size))).decode()
        assert (out, sealer.changed, sealer.unexpected) == (case["out"], case["sealed"], case["unexpected"]), case
    for case in file["requests"]:
        opener = affinity.opener(b"", case["ids"], mode=case["mode"], **where)
        out = b"".join(opener.rewrite(in_chunks(case["body"].encode(), size))).decode()
        assert (out, opener.unexpected, summary_of(opener)) == (case["out"], case["unexpected"], case["summary"]), case
        opener = affinity.opener(b"", case["ids"], mode=case["mode"], **where)
        assert opener.body(case["body"].encode()).decode() == case["out"]
    for case in file["targets"]:
        opener = affinity.opener(case["target"], case["ids"], mode=case["mode"], **where)
        assert (opener.target, summary_of(opener)) == (case["out"], case["summary"]), case
    for case in file["locations"]:
        sealer = affinity.sealer(
            slot, ids="items", mode="seal", upstream=given["upstream"], origin=given["origin"], **where
        )
        assert sealer.target(case["target"]) == case["out"], case


SAME_NAMES = (
    "strategy",
    "policy_existing",
    "policy_new",
    "skew",
    "max_life",
    "max_idle",
    "max_age",
    "combine_keys",
    "reject_bad_keys",
    "keyed_cookies",
    "mint_single",
    "prompt_cache",
    "cookie_name",
    "id_mode",
    "id_owner",
    "foreign_seals",
    "encrypted_content",
    "id_prefixes",
    "id_collections",
)


def affinity_of(case):
    return tokenpin.Affinity(
        slots_of(case["slots"]),
        placement_key=unhex(case["placement_key"]),
        cookie_keys=keys_of(case["cookie_keys"]),
        scope=unhex(case["scope"]),
        success=tuple(case["success"]),
        id_keys=keys_of(case["id_keys"]),
        id_fields=[(field["name"], field["kind"]) for field in case["id_fields"]],
        **case["attributes"],
        **{name: case[name] for name in SAME_NAMES},
    )


def request_of(case, opener):
    hint = case["id_hint"]
    return {
        "method": case["method"],
        "target": case["target"],
        "cookies": case["cookies"],
        "consumer": [unhex(value) for value in case["consumers"]],
        "consumer_trusted": case["consumer_trusted"],
        "session": [unhex(value) for value in case["sessions"]],
        "group": case["group"],
        "existing": case["existing"],
        "carrier_value": case["carrier_value"],
        "carrier": case["carrier"],
        "scope": unhex(case["scope"]),
        "tried": case["tried"],
        "now": case["now"],
        "entropy": unhex(case["entropy"]),
        "id_hint": None if hint is None else unhex(hint),
        "ids": opener,
    }


def decision_fields(decision):
    return {
        "slot": decision.slot,
        "source": decision.source,
        "outcome": decision.outcome,
        "pin_state": decision.pin_state,
        "verdict": decision.verdict,
        "id_verdict": decision.id_verdict,
        "id_keys": [255 if key is None else key for key in decision.id_keys],
        "key_reason": decision.key_reason,
        "ambiguous": decision.ambiguous,
        "existing": decision.existing,
        "may_move": decision.may_move,
        "retry_after": decision.retry_after,
        "refusal": decision.refusal,
        "refusal_status": decision.refusal_status,
        "fingerprint": hex64(decision.fingerprint),
        "cookie": {"value": decision.cookie_value, "max_age": decision.max_age, "carrier": decision.carrier}
        if decision.sets_cookie
        else None,
    }


def opener_of(affinity, case):
    """Opens a request's ids, where a host looked at them, as the case says it is done."""
    if "opened" not in case:
        return None
    request, opened = case["request"], case["opened"]
    _, _, ids = affinity.classify(request["method"], request["target"])
    owner = affinity.id_owner(
        [unhex(value) for value in request["consumers"]], consumer_trusted=request["consumer_trusted"]
    )
    opener = affinity.opener(request["target"], ids, scope=unhex(request["scope"]), owner=owner)
    body = opener.body(request["body"].encode()).decode()
    assert {
        "ids": ids,
        "target": opener.target,
        "body": body,
        "unexpected": opener.unexpected,
        "seals": opener.seals,
        "summary": summary_of(opener),
    } == opened, case
    return opener


@pytest.mark.parametrize("name", ["decision_v1.json", "decision_ids_v1.json"])
def test_decisions(name):
    file = load(name)
    for case in file.get("classify", []):
        group, existing, ids = tokenpin.classify(case["method"], case["target"], prompt_cache=case["prompt_cache"])
        assert (group, existing, ids) == (case["group"], case["existing"], case["ids"]), case
    for case in file.get("id_hint", []):
        affinity = tokenpin.Affinity(
            ["a"], placement_key=unhex(case["placement_key"]), cookie_keys=[tokenpin.CookieKey(1, b"s" * 16)]
        )
        assert affinity.id_hint(unhex(case["of"])).hex() == case["id_hint"], case
    for case in file["cases"]:
        affinity = affinity_of(file["configs"][case["config"]])
        decision = affinity.decide(**request_of(case["request"], opener_of(affinity, case)))
        assert decision_fields(decision) == case["decision"], case
        live = affinity.live_fingerprint(case["request"]["now"])
        assert hex64(live) == case["live_fingerprint"]
        for answer in case["finish"]:
            kind, text = affinity.finish(decision, answer["status"])
            assert {"status": answer["status"], "answer": kind, "text": text} == answer, case
    assert file["refused"]
    for case in file["refused"]:
        affinity = affinity_of(file["configs"][case["config"]])
        with pytest.raises(tokenpin.Error) as raised:
            affinity.decide(**request_of(case["request"], opener_of(affinity, case)))
        assert raised.value.status == case["error"], case
