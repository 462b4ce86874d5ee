"""Random and adversarial inputs: the package, in its own Node, against the second implementation,
tests/twin.
"""

import itertools
import json
import os
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tests" / "twin"))

import against_library as against  # noqa: E402
import bodies_twin as bodies  # noqa: E402
import library  # noqa: E402
import report  # noqa: E402
import tokenpin_twin as twin  # noqa: E402
from vector_files import (  # noqa: E402
    FOREIGN,
    GROUPS,
    KEY_REASONS,
    OUTCOMES,
    OWNERS,
    PIN_STATES,
    POLICIES,
    SOURCES,
    VERDICTS,
)

SEED = int(os.environ.get("TOKENPIN_SEED", random.randrange(2**32)))
CASES = int(os.environ.get("TOKENPIN_CASES", 1200))
# The package's slots take no identity hash that is not an account's.
CHECKS = [part for part in against.CHECKS if part[0] is not against.check_draws]

NO_SLOT = 2**32 - 1
ROLES = ["sign", "accept", "retire"]
STATES = ["up", "draining", "down", "vacant"]
STRATEGIES = ["jump", "rendezvous", "higress_fnv1a_modulo"]
KINDS = ["anonymous", "consumer", "session", "combined"]
ANSWERS = ["nothing", "set_cookie", "carrier"]
ID_VERDICTS = ["none", "plain", "sealed", "conflict", "unknown_version", "unknown_key", "bad_seal"]
SAME_SITES = {twin.SAME_SITE_LAX: "lax", twin.SAME_SITE_STRICT: "strict", twin.SAME_SITE_NONE: "none"}
Failed = library.Failed

node = subprocess.Popen(["node", "answers.js"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
numbers = itertools.count(1)


class Thing:
    """Something that lies in Node. It goes when no one refers to it any more."""

    gone: list = []

    def __init__(self):
        self.number = next(numbers)

    def __del__(self):
        self.gone.append(self.number)

    def __call__(self, name, *arguments):
        return ask({"call": name, "on": self.number, "with": arguments})


def given(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$": value.hex()}
    if isinstance(value, Big):
        return {"n": str(int(value))}
    if isinstance(value, Thing):
        return {"thing": value.number}
    if isinstance(value, dict):
        return {name: given(it) for name, it in value.items()}
    if isinstance(value, (list, tuple)):
        return [given(it) for it in value]
    return value


class Big(int):
    """A number of 64 bits."""


def taken(value):
    if isinstance(value, list):
        return [taken(it) for it in value]
    if isinstance(value, dict):
        if "$" in value:
            return bytes.fromhex(value["$"])
        return int(value["n"]) if "n" in value else {name: taken(it) for name, it in value.items()}
    return value


def ask(question):
    question["with"] = given(question["with"])
    if Thing.gone:
        question["forget"] = Thing.gone.pop()
    node.stdin.write(json.dumps(question) + "\n")
    node.stdin.flush()
    answer = json.loads(node.stdout.readline())
    if "status" in answer:
        raise Failed(answer["status"])
    if "wrong" in answer:
        # A number or a name that the types do not let through.
        raise AssertionError("%s\n%.2000r" % (answer["wrong"], question))
    return taken(answer.get("is"))


def call(name, *arguments):
    return ask({"call": name, "with": arguments})


def make(kind, *arguments):
    thing = Thing()
    call("make", thing.number, kind, *arguments)
    return thing


def time_of(now):
    """A time that a number of JavaScript can be. Those behind 2^46 are alike: every until and every
    cookie is older.
    """
    return min(now, 2**53 - 1)


def without_none(**given):
    return {name: value for name, value in given.items() if value is not None}


def status_of(slot):
    if slot.vacant:
        return {"state": "vacant", "weight": 0, "until": 0}
    return {"state": STATES[slot.state], "weight": slot.weight, "until": slot.until}


def slots_of(slots):
    return [None if slot.vacant else {"identity": slot.identity, **status_of(slot)} for slot in slots]


def keys_of(ring):
    return [{"id": key.key_id, "secret": key.secret, "role": ROLES[key.role]} for key in ring]


def key_of(key):
    if key is None:
        return None
    kind = KINDS[key.kind]
    if key.kind == twin.COMBINED:
        length = int.from_bytes(key.data[:4], "little")
        return {"kind": kind, "consumer": key.data[4 : 4 + length], "session": key.data[4 + length :]}
    return {"kind": kind, ("id", "consumer", "session")[key.kind]: key.data}


def attributes_of(it):
    return {
        "path": it.path,
        "domain": it.domain,
        "secure": it.secure,
        "httpOnly": it.http_only,
        "partitioned": it.partitioned,
        "sameSite": SAME_SITES[it.same_site],
    }


def rules_of(rules):
    return [
        {"pattern": pattern, "group": GROUPS[group], **({"ids": bodies.IDS[rest[0]]} if rest else {})}
        for pattern, group, *rest in rules
    ]


def numbers_of(it):
    return GROUPS.index(it["group"]), it["existing"], bodies.IDS.index(it["ids"])


class Made:
    """Slots, and each of them by its number."""

    def __init__(self, slots):
        self.slots = make("Slots", slots_of(slots))

    def __getitem__(self, number):
        return self.slots, number


class Library:
    def jump(self, key, n):
        return call("jump", Big(key), n)

    def identity_hash(self, identity):
        return call("identityHash", identity)

    def key_hash(self, placement_key, scope, key):
        return call("keyHash", placement_key, key_of(key), scope)

    def slots(self, slots):
        return Made(slots)

    def set_slot(self, made_slot, slot):
        slots, number = made_slot
        slots("set", number, status_of(slot))

    def select(self, strategy, made, h, key, anonymous, now, tried):
        return made.slots(
            "select",
            Big(h),
            without_none(
                strategy=STRATEGIES[strategy], now=time_of(now), anonymous=anonymous, tried=list(tried), key=key_of(key)
            ),
        )

    def select_batch(self, strategy, made, hashes, anonymous, now, tried):
        how = {"strategy": STRATEGIES[strategy], "now": time_of(now), "anonymous": anonymous, "tried": list(tried)}
        slots = call("batch", made.slots, [Big(h) for h in hashes], how)
        return [None if slot == -1 else slot for slot in slots]

    def ring(self, ring, placement_key=None):
        return make("KeyRing", keys_of(ring), *([] if placement_key is None else [placement_key]))

    def encode(self, made_ring, name, scope, key, cookie):
        it = {
            "kind": KINDS[cookie.kind],
            "id": cookie.id,
            "pin": Big(cookie.pin),
            "issuedAt": cookie.issued_at,
            "refreshedAt": cookie.refreshed_at,
        }
        return made_ring("encode", it, {"name": name, "scope": scope, "key": key_of(key)}).encode()

    def decode(self, made_ring, name, scope, key, limits, now, value):
        limits = {
            "now": time_of(now),
            "skew": limits.skew,
            "maxLife": limits.max_life,
            "maxIdle": limits.max_idle,
            "refreshInterval": limits.refresh_interval,
        }
        read = made_ring("decode", value, {"name": name, "scope": scope, "key": key_of(key)}, limits)
        it = read["cookie"]
        return VERDICTS.index(read["verdict"]), it and (
            KINDS.index(it["kind"]),
            it["issuedAt"],
            it["refreshedAt"],
            it["id"],
            it["pin"],
        )

    def default_name(self, scope):
        return call("defaultCookieName", scope).encode()

    def values_of(self, field, name):
        return call("cookieValues", field, name)

    def strip_field(self, field, name):
        return call("cookieStrip", field, name)

    def set_cookie(self, name, value, seconds, attributes):
        return call("setCookie", name, value, {"maxAge": seconds, **attributes_of(attributes)}).encode()

    def sets_our_cookie(self, field, name):
        return call("setCookieMatches", field, name)

    def classify(self, rules, replace, prompt_cache, method, target):
        table = {"rules": rules_of(rules), "replaceRules": bool(replace), "promptCache": bool(prompt_cache)}
        return numbers_of(call("classify", method, target, table))

    def id_ring(self, ring):
        return make("IdRing", keys_of(ring))

    def seal_id(self, made, scope, owner, id, pin):
        try:
            return made("seal", id, Big(pin), {"scope": scope, "owner": owner}).encode()
        except Failed as failed:
            if failed.status == 12:
                return None
            raise

    def open_id(self, made, scope, owner, id):
        it = made("open", id, {"scope": scope, "owner": owner})
        return ID_VERDICTS.index(it["verdict"]), it["native"] and it["native"].encode(), it["pin"]

    def mark(self, made, scope, owner, content, pin):
        return made("mark", content, Big(pin), {"scope": scope, "owner": owner}).encode()

    def open_mark(self, made, scope, owner, content):
        it = made("openMark", content, {"scope": scope, "owner": owner})
        return ID_VERDICTS.index(it["verdict"]), it["native"] and it["native"].encode(), it["pin"]


def key_numbers(keys):
    return [255 if key is None else key for key in keys]


class Report:
    """Returns an opener's report, in numbers."""

    def __init__(self, it):
        self.it = it

    def __getattr__(self, name):
        if name == "verdict":
            return ID_VERDICTS.index(self.it[name])
        if name == "keys":
            return key_numbers(self.it[name])
        if name == "quoted":
            return self.it[name].encode().ljust(64, b"\0")
        if name == "quoted_len":
            return len(self.it["quoted"])
        return self.it["echoesLost" if name == "echoes_lost" else name]


class Decision:
    def __init__(self, thing, it):
        self.thing, self.it = thing, it
        self.slot = NO_SLOT if it["slot"] is None else it["slot"]
        self.source, self.outcome = SOURCES.index(it["source"]), OUTCOMES.index(it["outcome"])
        self.pin_state, self.verdict = PIN_STATES.index(it["pinState"]), VERDICTS.index(it["verdict"])
        self.id_verdict, self.key_reason = ID_VERDICTS.index(it["idVerdict"]), KEY_REASONS.index(it["keyReason"])
        self.id_keys, self.retry_after = key_numbers(it["idKeys"]), it["retryAfter"]
        self.ambiguous, self.existing, self.may_move = it["ambiguous"], it["existing"], it["mayMove"]
        self.cookie, self.carrier, self.max_age = it["setsCookie"], it["carrier"], it["maxAge"]
        self.fingerprint = it["fingerprint"]

    @property
    def value(self):
        return self.it["cookieValue"].encode()


class Affinity:
    def __init__(self, library, config):
        camel = {
            "maxAge": config.max_age,
            "skew": config.skew,
            "maxLife": config.max_life,
            "maxIdle": config.max_idle,
            "combineKeys": config.combine_keys,
            "rejectBadKeys": config.reject_bad_keys,
            "keyedCookies": config.keyed_cookies,
            "mintSingle": config.mint_single,
            "promptCache": config.prompt_cache,
            "replaceRules": config.replace_rules,
            "encryptedContent": config.encrypted_content,
        }
        switches = {
            name: bool(value) if name not in ("maxAge", "skew", "maxLife", "maxIdle") else value
            for name, value in camel.items()
        }
        self.it = make(
            "Affinity",
            {
                "slots": slots_of(config.slots),
                "placementKey": config.placement_key,
                "cookieKeys": keys_of(config.ring),
                "strategy": STRATEGIES[config.strategy],
                "scope": config.scope,
                "cookieName": config.cookie_name,
                "rules": rules_of(config.rules),
                "policyExisting": POLICIES[config.policy_existing],
                "policyNew": POLICIES[config.policy_new],
                "idMode": bodies.MODES[config.id_mode],
                "idKeys": keys_of(config.own_id_keys),
                "idOwner": OWNERS[config.id_owner],
                "foreignSeals": FOREIGN[config.foreign_seals],
                "success": list(config.success),
                "idFields": [{"name": name, "kind": kind} for name, kind in config.id_fields],
                "idPrefixes": list(config.id_prefixes),
                "idCollections": list(config.id_collections),
                **attributes_of(config.attributes),
                **switches,
            },
        )

    def free(self):
        self.it("close")

    def set_slot(self, i, slot):
        self.it("setSlot", i, status_of(slot))

    def get_slot(self, i):
        status = self.it("getSlot", i)
        return status["until"], status["weight"], STATES.index(status["state"]), self.it("pin", i) or 0

    def find(self, identity):
        return self.it("find", identity)

    def cookie_name(self, scope):
        return self.it("cookieName", scope).encode()

    def id_hint(self, of):
        return self.it("idHint", of)

    def classify(self, method, target):
        return numbers_of(self.it("classify", method, target))

    def read_request(self, request, body):
        owner = self.it("idOwner", list(request.consumer_values), bool(request.trusted))
        ids = self.it("classify", request.method, request.target)["ids"]
        # In pieces, and once in a while whole.
        size = len(body) % 7 * 5 or len(body) or 1
        opener = Thing()
        options = {"ids": ids, "scope": request.scope, "owner": owner}
        target, body, found, unexpected = call("open", opener.number, self.it, request.target, options, body, size)
        return target, body, Report(found), unexpected, opener

    def id_key(self, number):
        return self.it("idKey", number).encode()

    def seal(self, scope, ids, slot, body, chunk):
        events = body.lstrip(bodies.BLANKS)[:1] in (b"d", b"e", b"i", b"r", b":")
        options = {"ids": bodies.IDS[ids], "scope": scope, "events": events}
        return tuple(call("seal", self.it, slot, options, body, chunk))

    def seal_target(self, scope, ids, slot, target):
        return call("sealTarget", self.it, slot, {"ids": bodies.IDS[ids], "scope": scope}, target)

    def fingerprint(self):
        return call("fingerprint", self.it)

    def live_fingerprint(self, now):
        return self.it("liveFingerprint", time_of(now))

    def decide(self, request, summary=None):
        thing = Thing()
        return Decision(
            thing,
            call(
                "decide",
                thing.number,
                self.it,
                without_none(
                    method=request.method,
                    target=request.target,
                    cookies=list(request.cookies),
                    consumer=list(request.consumer_values),
                    consumerTrusted=bool(request.trusted),
                    session=list(request.session_values),
                    existing=bool(request.existing),
                    group=None if request.group is None else GROUPS[request.group],
                    carrierValue=request.carrier_value,
                    carrier=bool(request.carrier),
                    scope=request.scope,
                    tried=list(request.tried),
                    now=time_of(request.now),
                    entropy=request.entropy,
                    idHint=request.id_hint,
                    ids=summary,
                ),
            ),
        )

    def refusal(self, decision):
        return against.CODES.index(decision.it["refusal"]), decision.it["refusalStatus"]

    def finish(self, decision, status):
        it = self.it("finish", decision.thing, status)
        return ANSWERS.index(it["answer"]), it["text"].encode()


class Printed(report.Report):
    """Prints the first mismatch, without what would fill pages: the seed brings it back."""

    def check(self, what, expected, found, *inputs):
        if expected != found and not self.failed:
            print("TOKENPIN_SEED=%d: %s" % (SEED, what))
            for name, value in (("twin", expected), ("package", found), *(("with", value) for value in inputs)):
                print("  %s: %.1000r" % (name, value))
        return super().check(what, expected, found, *inputs)


def main():
    library.Affinity = Affinity
    against.library.Failed = Failed
    seen = Printed(shown=0)
    for check, share in CHECKS:
        before = seen.passed
        check(seen, Library(), random.Random("%d %s" % (SEED, check.__name__)), int(CASES * share) + 1)
        assert seen.passed > before, check.__name__
    against.check_refused(seen, Library())
    against.check_bounds(seen, Library())
    print("TOKENPIN_SEED=%d: %d answers of the package are the twin's, %d are not" % (SEED, seen.passed, seen.failed))
    node.stdin.close()
    return bool(seen.failed) or node.wait() != 0


if __name__ == "__main__":
    sys.exit(main())
