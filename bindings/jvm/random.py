"""Random decisions and the answers of the second implementation, tests/twin, as a file like
tests/vectors/decision_v1.json.
"""

import json
import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/twin"))

import random_cases as cases  # noqa: E402
import tokenpin_twin as twin  # noqa: E402
import vector_files as files  # noqa: E402
from bodies_twin import MODES  # noqa: E402

ROLES = {twin.SIGN: "sign", twin.ACCEPT: "accept", twin.RETIRE: "retire"}
STATES = {twin.UP: "up", twin.DRAINING: "draining", twin.DOWN: "down"}


def name_of(names, value):
    return next(name for name, number in names.items() if number == value)


def ring_case(ring):
    return [{"id": key.key_id, "role": ROLES[key.role], "secret": key.secret.hex()} for key in ring]


def slot_case(slot):
    if slot.vacant:
        return None
    return {"identity": slot.identity.hex(), "state": STATES[slot.state], "weight": slot.weight, "until": slot.until}


def config_case(config):
    attributes = config.attributes
    case = {
        "slots": [slot_case(slot) for slot in config.slots],
        "placement_key": config.placement_key.hex(),
        "cookie_keys": ring_case(config.ring),
        "id_keys": ring_case(config.own_id_keys),
        "strategy": name_of(files.STRATEGIES, config.strategy),
        "scope": config.scope.hex(),
        "cookie_name": None if config.cookie_name is None else config.cookie_name.decode(),
        "policy_existing": files.POLICIES[config.policy_existing],
        "policy_new": files.POLICIES[config.policy_new],
        "success": list(config.success),
        "id_mode": MODES[config.id_mode],
        "id_owner": files.OWNERS[config.id_owner],
        "foreign_seals": files.FOREIGN[config.foreign_seals],
        "encrypted_content": config.encrypted_content,
        "id_fields": [{"name": name.decode(), "kind": kind} for name, kind in config.id_fields],
        "id_prefixes": [prefix.decode() for prefix in config.id_prefixes],
        "id_collections": [segment.decode() for segment in config.id_collections],
        "attributes": {
            "path": attributes.path.decode(),
            "domain": attributes.domain.decode(),
            "secure": attributes.secure,
            "http_only": attributes.http_only,
            "same_site": name_of(files.SAME_SITES, attributes.same_site),
            "partitioned": attributes.partitioned,
        },
    }
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
        case[name] = getattr(config, name)
    return case


def request_case(request):
    return {
        "method": request.method.decode(),
        "target": request.target.decode(),
        "group": None if request.group is None else files.GROUPS[request.group],
        "existing": request.existing,
        "consumers": [value.hex() for value in request.consumer_values],
        "consumer_trusted": request.trusted,
        "sessions": [value.hex() for value in request.session_values],
        "cookies": [field.decode() for field in request.cookies],
        "carrier_value": request.carrier_value.decode(),
        "carrier": request.carrier,
        "scope": request.scope.hex(),
        "tried": list(request.tried),
        "now": request.now,
        "entropy": request.entropy.hex(),
        "id_hint": None if request.id_hint is None else request.id_hint.hex(),
    }


def main():
    path, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    seed = int(os.environ.get("TOKENPIN_SEED", random.randrange(2**32)))
    print(f"TOKENPIN_SEED={seed}")
    rng = random.Random(seed)
    made = {"configs": [], "cases": [], "refused": []}
    while len(made["cases"]) < count or not made["refused"]:
        now = cases.a_time(rng) % 2**63
        config = cases.a_config(rng, now)
        # The files have no rules.
        config.rules, config.replace_rules = [], False
        number = len(made["configs"])
        made["configs"].append(config_case(config))
        consumers, sessions = [b"alice", b"bob"], [b"s1", b"s2"]
        ids = [cases.not_zero_bytes(rng, 16) for _ in range(2)]
        for _ in range(8):
            request = cases.a_request(rng, config, now, consumers, sessions, ids)
            try:
                case = {"config": number, "request": request_case(request)}
            except UnicodeDecodeError:
                continue
            if request.now >= 2**63:
                continue
            # As the file says it: what a case cannot say is not asked.
            request = files.request_of(case["request"])
            config = files.config_of(made["configs"][number])
            try:
                decision = twin.decide(config, request)
            except twin.Refused as refused:
                made["refused"].append({**case, "error": files.REFUSALS[str(refused)]})
                continue
            answers = [files.answer_fields(status, twin.finish(config, decision, status)) for status in (200, 302, 404)]
            live = files.hex64(twin.live_fingerprint(config.slots, request.now))
            made["cases"].append(
                {**case, "decision": files.decision_fields(decision), "finish": answers, "live_fingerprint": live}
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))


main()
