"""The package with the interface of tests/twin/library.py, so that what that runs can be run
against it.
"""

import functools

import bodies_twin as bodies
import tokenpin
import tokenpin_twin as twin

NO_SLOT = 2**32 - 1
STALE = 44

ROLES = ["sign", "accept", "retire"]
STATES = ["up", "draining", "down", "vacant"]
STRATEGIES = ["jump", "rendezvous", "higress_fnv1a_modulo"]
GROUPS = ["stateless", "stateful", "prompt_cache"]
POLICIES = ["fail_fast", "fallback_and_update", "fallback_without_update"]
OWNERS = ["none", "consumer"]
FOREIGN = ["auto", "refuse", "plain"]
SAME_SITES = {twin.SAME_SITE_LAX: "lax", twin.SAME_SITE_STRICT: "strict", twin.SAME_SITE_NONE: "none"}


class Failed(Exception):
    """A status other than 0."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


def fails(method):
    @functools.wraps(method)
    def call(*arguments):
        try:
            return method(*arguments)
        except tokenpin.Error as error:
            raise Failed(error.status.number) from error

    return call


def failing(made):
    """A class all of whose methods raise what the tests expect."""
    for name, method in list(vars(made).items()):
        if callable(method):
            setattr(made, name, fails(method))
    return made


def status_of(slot):
    if slot.vacant:
        return tokenpin.SlotStatus("vacant", 0, 0)
    return tokenpin.SlotStatus(STATES[slot.state], slot.weight, slot.until)


def slots_of(slots):
    return [None if slot.vacant else tokenpin.Slot(slot.identity, *status_of(slot)) for slot in slots]


def keys_of(ring):
    return [tokenpin.CookieKey(key.key_id, key.secret, ROLES[key.role]) for key in ring]


def key_of(key):
    if key is None:
        return None
    if key.kind == twin.COMBINED:
        length = int.from_bytes(key.data[:4], "little")
        return tokenpin.Key.combined(key.data[4 : 4 + length], key.data[4 + length :])
    return (tokenpin.Key.anonymous, tokenpin.Key.consumer, tokenpin.Key.session)[key.kind](key.data)


def attributes_of(attributes):
    return {
        "path": attributes.path,
        "domain": attributes.domain,
        "secure": attributes.secure,
        "http_only": attributes.http_only,
        "partitioned": attributes.partitioned,
        "same_site": SAME_SITES[attributes.same_site],
    }


def rules_of(rules):
    return [
        tokenpin.Rule(pattern, GROUPS[group], *(bodies.IDS[ids] for ids in rest)) for pattern, group, *rest in rules
    ]


def numbers_of(classified):
    group, existing, ids = classified
    return group.number, existing, ids.number


class Made:
    """Slots, and each of them by its number."""

    def __init__(self, slots):
        self.slots = tokenpin.Slots(slots_of(slots))

    def __getitem__(self, number):
        return self.slots, number


@failing
class Library:
    def jump(self, key, n):
        return tokenpin.jump(key, n)

    def identity_hash(self, identity):
        return tokenpin.identity_hash(identity)

    def key_hash(self, placement_key, scope, key):
        return tokenpin.key_hash(placement_key, key_of(key), scope)

    def slots(self, slots):
        return Made(slots)

    def set_slot(self, made_slot, slot):
        slots, number = made_slot
        slots.set(number, status_of(slot))

    def select(self, strategy, made, h, key, anonymous, now, tried):
        return made.slots.select(
            h, strategy=STRATEGIES[strategy], now=now, anonymous=anonymous, tried=tried, key=key_of(key)
        )

    def select_batch(self, strategy, made, hashes, anonymous, now, tried):
        return made.slots.select_batch(hashes, strategy=STRATEGIES[strategy], now=now, anonymous=anonymous, tried=tried)

    def ring(self, ring, placement_key=None):
        return tokenpin.KeyRing(keys_of(ring), placement_key)

    def encode(self, made_ring, name, scope, key, cookie):
        kind = list(tokenpin.Kind)[cookie.kind]
        it = tokenpin.Cookie(kind, cookie.id, cookie.pin, cookie.issued_at, cookie.refreshed_at)
        return made_ring.encode(it, name=name, scope=scope, key=key_of(key)).encode()

    def decode(self, made_ring, name, scope, key, limits, now, value):
        verdict, it = made_ring.decode(value, name=name, scope=scope, key=key_of(key), now=now, **vars(limits))
        return verdict.number, it and (it.kind.number, it.issued_at, it.refreshed_at, it.id, it.pin)

    def default_name(self, scope):
        return tokenpin.default_cookie_name(scope).encode()

    def values_of(self, field, name):
        return tokenpin.cookie_values(field, name)

    def strip_field(self, field, name):
        return tokenpin.cookie_strip(field, name)

    def set_cookie(self, name, value, seconds, attributes):
        return tokenpin.set_cookie(name, value, max_age=seconds, **attributes_of(attributes)).encode()

    def sets_our_cookie(self, field, name):
        return tokenpin.set_cookie_matches(field, name)

    def classify(self, rules, replace, prompt_cache, method, target):
        return numbers_of(
            tokenpin.classify(method, target, rules_of(rules), replace_rules=replace, prompt_cache=prompt_cache)
        )

    def id_ring(self, ring):
        return tokenpin.IdRing(keys_of(ring))

    def seal_id(self, made, scope, owner, id, pin):
        try:
            return made.seal(id, pin, scope=scope, owner=owner).encode()
        except tokenpin.Error as error:
            if error.status == "id":
                return None
            raise

    def open_id(self, made, scope, owner, id):
        verdict, opened = made.open(id, scope=scope, owner=owner)
        native, pin = (opened.native.encode(), opened.pin) if opened else (None, None)
        return verdict.number, native, pin

    def mark(self, made, scope, owner, content, pin):
        return made.mark(content, pin, scope=scope, owner=owner).encode()

    def open_mark(self, made, scope, owner, content):
        verdict, opened = made.open_mark(content, scope=scope, owner=owner)
        native, pin = (opened.native.encode(), opened.pin) if opened else (None, None)
        return verdict.number, native, pin


class Numbered:
    """A decision or a report with numbers for what are enums, and 255 for no key."""

    def __init__(self, it):
        self.it = it

    def __getattr__(self, name):
        value = getattr(self.it, name)
        if name in ("keys", "id_keys"):
            return [255 if number is None else number for number in value]
        if name == "slot":
            return NO_SLOT if value is None else value
        return getattr(value, "number", value)

    @property
    def cookie(self):
        return self.it.sets_cookie

    @property
    def value(self):
        return self.it.cookie_value.encode()

    @property
    def quoted(self):
        return self.it.quoted.encode().ljust(64, b"\0")

    @property
    def quoted_len(self):
        return len(self.it.quoted)


def affinity_of(config):
    """An affinity for a configuration of the twin."""
    return tokenpin.Affinity(
        slots_of(config.slots),
        placement_key=config.placement_key,
        cookie_keys=keys_of(config.ring),
        strategy=STRATEGIES[config.strategy],
        scope=config.scope,
        cookie_name=config.cookie_name,
        rules=rules_of(config.rules),
        policy_existing=POLICIES[config.policy_existing],
        policy_new=POLICIES[config.policy_new],
        id_mode=bodies.MODES[config.id_mode],
        id_keys=keys_of(config.own_id_keys),
        id_owner=OWNERS[config.id_owner],
        foreign_seals=FOREIGN[config.foreign_seals],
        **attributes_of(config.attributes),
        **{
            name: getattr(config, name)
            for name in (
                "max_age",
                "success",
                "skew",
                "max_life",
                "max_idle",
                "combine_keys",
                "reject_bad_keys",
                "keyed_cookies",
                "mint_single",
                "prompt_cache",
                "replace_rules",
                "encrypted_content",
                "id_fields",
                "id_prefixes",
                "id_collections",
            )
        },
    )


def request_of(request):
    """The arguments of `decide`."""
    return {
        "method": request.method,
        "target": request.target,
        "cookies": request.cookies,
        "consumer": request.consumer_values,
        "consumer_trusted": request.trusted,
        "session": request.session_values,
        "existing": request.existing,
        "group": None if request.group is None else GROUPS[request.group],
        "carrier_value": request.carrier_value,
        "carrier": request.carrier,
        "scope": request.scope,
        "tried": request.tried,
        "now": request.now,
        "entropy": request.entropy,
        "id_hint": request.id_hint,
    }


@failing
class Affinity:
    def __init__(self, library, config):
        self.it = affinity_of(config)

    def free(self):
        self.it.close()

    def set_slot(self, i, slot):
        self.it.set_slot(i, status_of(slot))

    def get_slot(self, i):
        state, weight, until = self.it.get_slot(i)
        return until, weight, state.number, self.it.pin(i) or 0

    def find(self, identity):
        return self.it.find(identity)

    def cookie_name(self, scope):
        return self.it.cookie_name(scope).encode()

    def id_hint(self, of):
        return self.it.id_hint(of)

    def classify(self, method, target):
        return numbers_of(self.it.classify(method, target))

    def read_request(self, request, body):
        owner = self.it.id_owner(request.consumer_values, consumer_trusted=request.trusted)
        _, _, ids = self.it.classify(request.method, request.target)
        opener = self.it.opener(request.target, ids, scope=request.scope, owner=owner)
        # In pieces, and once in a while whole.
        size = len(body) % 7 * 5 or len(body) or 1
        chunks = (body[at : at + size] for at in range(0, len(body), size))
        body = b"".join(opener.rewrite(chunks))
        return opener.target, body, Numbered(opener), opener.unexpected, opener

    def id_key(self, number):
        return self.it.id_key(number).encode()

    def seal(self, scope, ids, slot, body, chunk):
        events = body.lstrip(bodies.BLANKS)[:1] in (b"d", b"e", b"i", b"r", b":")
        sealer = self.it.sealer(slot, ids=bodies.IDS[ids], scope=scope, events=events)
        chunks = (body[at : at + chunk] for at in range(0, len(body), chunk))
        return b"".join(sealer.rewrite(chunks)), sealer.changed, sealer.unexpected

    def seal_target(self, scope, ids, slot, target):
        return self.it.sealer(slot, ids=bodies.IDS[ids], scope=scope).target(target)

    def fingerprint(self):
        return self.it.fingerprint

    def live_fingerprint(self, now):
        return self.it.live_fingerprint(now)

    def decide(self, request, summary=None):
        return Numbered(self.it.decide(**request_of(request), ids=summary))

    def refusal(self, decision):
        return decision.it.refusal.number, decision.it.refusal_status

    def finish(self, decision, status):
        answer, text = self.it.finish(decision.it, status)
        return answer.number, text.encode()
