"""The project's own vector files against the twin. tests/vectors/README.md describes them."""

import json
import os

import bodies_twin as bodies
import tokenpin_twin as twin

STATES = {"up": twin.UP, "draining": twin.DRAINING, "down": twin.DOWN}
STRATEGIES = {"jump": twin.JUMP, "rendezvous": twin.RENDEZVOUS, "higress_fnv1a_modulo": twin.HIGRESS}
ROLES = {"sign": twin.SIGN, "accept": twin.ACCEPT, "retire": twin.RETIRE}
VERDICTS = [
    "absent",
    "malformed",
    "unknown_version",
    "unknown_key",
    "bad_tag",
    "other_key",
    "not_yet_valid",
    "expired_life",
    "expired_idle",
    "valid",
    "refresh_due",
]
GROUPS = ["stateless", "stateful", "prompt_cache"]
POLICIES = ["fail_fast", "fallback_and_update", "fallback_without_update"]
SOURCES = ["none", "stateless", "consumer", "session", "combined", "cookie", "minted", "id"]
OUTCOMES = ["placed", "pinned", "repinned", "fallback", "retried", "rejected", "none"]
PIN_STATES = ["none", "home", "elsewhere", "draining", "down", "gone"]
OWNERS = ["none", "consumer"]
FOREIGN = ["auto", "refuse", "plain"]
KEY_REASONS = ["ok", "absent", "untrusted", "several_values", "too_long"]
SAME_SITES = {"lax": twin.SAME_SITE_LAX, "strict": twin.SAME_SITE_STRICT, "none": twin.SAME_SITE_NONE}

unhex = bytes.fromhex


def hex64(number):
    return "%016x" % number


def text(data):
    return data.decode("utf-8")


def key_of(case):
    if case is None:
        return None
    if case["kind"] == twin.COMBINED:
        return twin.combined_key(unhex(case["key"]), unhex(case["session"]))
    return twin.Key(case["kind"], unhex(case["key"]))


def slots_of(cases):
    return [
        twin.Slot()
        if case is None
        else twin.Slot(unhex(case["identity"]), case["weight"], STATES[case["state"]], case["until"])
        for case in cases
    ]


def ring_of(cases):
    return [twin.RingKey(case["id"], unhex(case["secret"]), ROLES[case["role"]]) for case in cases]


def check_selection(report, file):
    for case in file["identity_hash"]:
        report.check("identity_hash", hex64(twin.identity_hash(unhex(case["identity"]))), case["hash"], case)
    for case in file["key_hash"]:
        key = key_of(case["key"])
        h = twin.key_hash(unhex(case["placement_key"]), unhex(case["scope"]), key)
        report.check("key_hash", hex64(h), case["h"], case)
    for case in file["jump"]:
        report.check("jump", twin.jump(int(case["key"], 16), case["n"]), case["bucket"], case)
    for case in file["select"]:
        slot = twin.select_hash(
            STRATEGIES[case["strategy"]],
            slots_of(case["slots"]),
            int(case["h"], 16),
            key_of(case.get("key")),
            case["anonymous"],
            case["now"],
            case["tried"],
        )
        report.check("select", slot, case["slot"], case)


def cookie_fields(cookie):
    return {
        "kind": cookie.kind,
        "issued_at": cookie.issued_at,
        "refreshed_at": cookie.refreshed_at,
        "id": cookie.id.hex(),
        "pin": hex64(cookie.pin),
    }


def check_cookie(report, file):
    for case in file["encode"]:
        ring_key = twin.signing_key(ring_of(case["ring"]))
        fields = case["cookie"]
        cookie = twin.Cookie(
            fields["kind"],
            ring_key.key_id,
            fields["issued_at"],
            fields["refreshed_at"],
            unhex(fields["id"]),
            int(fields["pin"], 16),
        )
        value = twin.encode(cookie, ring_key.secret, case["name"].encode(), unhex(case["scope"]), key_of(case["key"]))
        report.check("encode", text(value), case["value"], case)
    for case in file["decode"]:
        verdict, cookie = twin.read_value(
            case["value"].encode(),
            ring_of(case["ring"]),
            case["name"].encode(),
            unhex(case["scope"]),
            key_of(case["key"]),
            case["now"],
            twin.Limits(**case["limits"]),
            twin.TagBudget(),
        )
        report.check(
            "decode", (VERDICTS[verdict], cookie and cookie_fields(cookie)), (case["verdict"], case["cookie"]), case
        )
    for case in file["header"]:
        field, name = case["field"].encode(), case["name"].encode()
        values = [text(value) for value in twin.values_of(field, name)]
        report.check("values", values, case["values"], case)
        stripped = twin.strip_field(field, name)
        report.check("stripped", text(stripped or b""), case["stripped"], case)
    for case in file["default_name"]:
        report.check("default_name", text(twin.default_name(unhex(case["scope"]))), case["name"], case)


def optional_text(data):
    return None if data is None else text(data)


def optional_hex64(number):
    return None if number is None else hex64(number)


def check_ids(report, file):
    def place(case):
        return ring_of(case["ring"]), unhex(case["scope"]), unhex(case["owner"])

    for case in file["seal"]:
        sealed = twin.seal_id(*place(case), case["id"].encode(), int(case["pin"], 16))
        report.check("seal", optional_text(sealed), case["sealed"], case)
    for case in file["mark"]:
        mark = twin.mark_content(*place(case), case["content"].encode(), int(case["pin"], 16))
        report.check("mark", text(mark), case["mark"], case)
    for section, opens, name in (("open", twin.open_id, "native"), ("open_mark", twin.open_content, "content")):
        for case in file[section]:
            verdict, opened, pin = opens(*place(case), case["text"].encode())
            report.check(
                section,
                (verdict, optional_text(opened), optional_hex64(pin)),
                (case["verdict"], case[name], case["pin"]),
                case,
            )


def check_id_bodies(report, file):
    (given,) = file["with"]
    pin = int(given["pin"], 16)

    def rules_of(mode):
        config = twin.Config([], bytes(16), ring_of(given["ring"]))
        config.id_mode = bodies.MODES.index(mode)
        rules = bodies.Rules(config, unhex(given["scope"]), unhex(given["owner"]))
        rules.accounts = [int(account, 16) for account in given["accounts"]]
        return rules

    for case in file["responses"]:
        sealing = bodies.Sealing(rules_of("seal"), pin, case["ids"])
        rewrite = sealing.events if case["events"] else sealing.document
        out = text(rewrite(case["body"].encode()))
        report.check(
            "responses",
            (out, sealing.sealed, sealing.unexpected),
            (case["out"], case["sealed"], case["unexpected"]),
            case,
        )
    for case in file["requests"]:
        request = bodies.Request(rules_of(case["mode"]), case["ids"])
        out = text(request.body(case["body"].encode()))
        report.check(
            "requests",
            (out, request.unexpected, request.summary()),
            (case["out"], case["unexpected"], case["summary"]),
            case,
        )
    for case in file["targets"]:
        request = bodies.Request(rules_of(case["mode"]), case["ids"])
        out = text(request.target(case["target"].encode()))
        report.check("targets", (out, request.summary()), (case["out"], case["summary"]), case)
    for case in file["locations"]:
        out = bodies.seal_target(
            rules_of("seal"),
            pin,
            "items",
            case["target"].encode(),
            (given["upstream"].encode(), given["origin"].encode()),
        )
        report.check("locations", text(out), case["out"], case)


def config_of(case):
    config = twin.Config(slots_of(case["slots"]), unhex(case["placement_key"]), ring_of(case["cookie_keys"]))
    config.strategy = STRATEGIES[case["strategy"]]
    config.scope = unhex(case["scope"])
    if case["cookie_name"] is not None:
        config.cookie_name = case["cookie_name"].encode()
    config.policy_existing = POLICIES.index(case["policy_existing"])
    config.policy_new = POLICIES.index(case["policy_new"])
    config.success = tuple(case["success"])
    for name in (
        "skew",
        "max_life",
        "max_idle",
        "max_age",
        "combine_keys",
        "reject_bad_keys",
        "keyed_cookies",
        "mint_single",
        "prompt_cache",
    ):
        setattr(config, name, case[name])
    config.id_mode = bodies.MODES.index(case["id_mode"])
    config.own_id_keys = ring_of(case["id_keys"])
    config.id_owner = OWNERS.index(case["id_owner"])
    config.foreign_seals = FOREIGN.index(case["foreign_seals"])
    config.encrypted_content = case["encrypted_content"]
    config.id_fields = [(field["name"].encode(), field["kind"]) for field in case["id_fields"]]
    config.id_prefixes = [prefix.encode() for prefix in case["id_prefixes"]]
    config.id_collections = [segment.encode() for segment in case["id_collections"]]
    attributes = case["attributes"]
    config.attributes = twin.Attributes(
        attributes["path"].encode(),
        attributes["domain"].encode(),
        attributes["secure"],
        attributes["http_only"],
        SAME_SITES[attributes["same_site"]],
        attributes["partitioned"],
    )
    return config


def request_of(case):
    request = twin.Request(case["now"], unhex(case["entropy"]))
    if case["group"] is not None:
        request.group = GROUPS.index(case["group"])
    request.method, request.target = case["method"].encode(), case["target"].encode()
    request.existing = case["existing"]
    request.consumer_values = [unhex(value) for value in case["consumers"]]
    request.trusted = case["consumer_trusted"]
    request.session_values = [unhex(value) for value in case["sessions"]]
    request.cookies = [field.encode() for field in case["cookies"]]
    request.carrier_value = case["carrier_value"].encode()
    request.carrier = case["carrier"]
    request.scope = unhex(case["scope"])
    request.tried = case["tried"]
    if case["id_hint"] is not None:
        request.id_hint = unhex(case["id_hint"])
    return request


def decision_fields(decision):
    cookie = decision.cookie
    return {
        "slot": decision.slot,
        "source": SOURCES[decision.source],
        "outcome": OUTCOMES[decision.outcome],
        "pin_state": PIN_STATES[decision.pin_state],
        "verdict": VERDICTS[decision.verdict],
        "id_verdict": decision.id_verdict,
        "id_keys": decision.id_keys,
        "key_reason": KEY_REASONS[decision.key_reason],
        "ambiguous": decision.ambiguous,
        "existing": decision.existing,
        "may_move": decision.may_move,
        "retry_after": decision.retry_after,
        "refusal": twin.refusal(decision)[0],
        "refusal_status": twin.refusal(decision)[1],
        "fingerprint": hex64(decision.fingerprint),
        "cookie": cookie and {"value": text(cookie.value), "max_age": cookie.seconds, "carrier": cookie.carrier},
    }


def answer_fields(status, answer):
    if answer is None:
        return {"status": status, "answer": "nothing", "text": ""}
    in_carrier, line = answer
    return {"status": status, "answer": "carrier" if in_carrier else "set_cookie", "text": text(line)}


REFUSALS = {
    twin.SCOPE_TOO_LONG: "scope_length",
    twin.TRIED_OUTSIDE: "slot_range",
    twin.ZERO_ENTROPY: "entropy",
    twin.ZERO_ID_HINT: "entropy",
    twin.NOW_TOO_LATE: "time",
}


def check_decision(report, file):
    for case in file["classify"]:
        group, existing, ids = twin.classify(
            twin.DEFAULT_RULES, case["prompt_cache"], case["method"].encode(), case["target"].encode()
        )
        report.check(
            "classify", (GROUPS[group], existing, bodies.IDS[ids]), (case["group"], case["existing"], case["ids"]), case
        )
    for case in file["id_hint"]:
        report.check(
            "id_hint", twin.id_hint(unhex(case["placement_key"]), unhex(case["of"])).hex(), case["id_hint"], case
        )
    check_cases(report, file)


def check_cases(report, file):
    """Of decision_v1.json and decision_ids_v1.json."""
    for case in file["cases"]:
        config_case = file["configs"][case["config"]]
        config = config_of(config_case)
        request = request_of(case["request"])
        read_ids(report, config, request, case)
        decision = twin.decide(config, request)
        report.check("decide", decision_fields(decision), case["decision"], case, config_case)
        report.check(
            "live_fingerprint",
            hex64(twin.live_fingerprint(config.slots, request.now)),
            case["live_fingerprint"],
            case,
            config_case,
        )
        for answer in case["finish"]:
            status = answer["status"]
            report.check(
                "finish", answer_fields(status, twin.finish(config, decision, status)), answer, case, config_case
            )
    for case in file["refused"]:
        config_case = file["configs"][case["config"]]
        config, request = config_of(config_case), request_of(case["request"])
        read_ids(report, config, request, case)
        try:
            error = twin.decide(config, request)
        except twin.Refused as refused:
            error = REFUSALS[str(refused)]
        report.check("refused", error, case["error"], case, config_case)


def read_ids(report, config, request, case):
    """Gives the request the ids of its target and body, if a host read them."""
    if "opened" not in case:
        return
    body = case["request"]["body"].encode()
    api, target, body, ids = bodies.read_request(config, request, body)
    request.ids = ids
    report.check(
        "opened",
        {
            "ids": api,
            "target": text(target),
            "body": text(body),
            "unexpected": ids.unexpected,
            "seals": ids.sealed,
            "summary": ids.summary(),
        },
        case["opened"],
        case,
        config,
    )


def check_vector_files(report, folder):
    for name, check in (
        ("selection_v1.json", check_selection),
        ("cookie_v1.json", check_cookie),
        ("ids_v1.json", check_ids),
        ("id_bodies_v1.json", check_id_bodies),
        ("decision_v1.json", check_decision),
        ("decision_ids_v1.json", check_cases),
    ):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            check(report, json.load(file))
