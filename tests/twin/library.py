"""The shared library through ctypes. Structures and signatures follow include/tokenpin.h."""

import ctypes
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int32,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)

import bodies_twin as bodies
import tokenpin_twin as twin

NO_SLOT = 2**32 - 1
AUTO_MAX_AGE = 2**32 - 1
ABI_VERSION = 1

OK = 0
END = 10
STALE = 44
NO_ID = 12
SEALED = 2


class Bytes(Structure):
    _fields_ = [("ptr", c_char_p), ("len", c_size_t)]


class CookieKey(Structure):
    _fields_ = [("id", c_uint8), ("role", c_uint8), ("secret", c_uint8 * 16)]


class SlotStatus(Structure):
    _fields_ = [("until", c_uint64), ("weight", c_uint32), ("state", c_uint8)]


class SlotConfig(Structure):
    _fields_ = [("identity", Bytes), ("status", SlotStatus)]


class Attributes(Structure):
    _fields_ = [
        ("path", Bytes),
        ("domain", Bytes),
        ("secure", c_uint8),
        ("http_only", c_uint8),
        ("same_site", c_uint8),
        ("partitioned", c_uint8),
    ]


class Rule(Structure):
    _fields_ = [("pattern", Bytes), ("group", c_uint8), ("ids", c_uint8)]


class IdField(Structure):
    _fields_ = [("name", Bytes), ("kind", c_uint8)]


class Config(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("cookie_keys", POINTER(CookieKey)),
        ("cookie_key_count", c_size_t),
        ("slots", POINTER(SlotConfig)),
        ("slot_count", c_size_t),
        ("scope", Bytes),
        ("cookie_name", Bytes),
        ("attributes", Attributes),
        ("rules", POINTER(Rule)),
        ("rule_count", c_size_t),
        ("id_keys", POINTER(CookieKey)),
        ("id_key_count", c_size_t),
        ("id_fields", POINTER(IdField)),
        ("id_field_count", c_size_t),
        ("id_prefixes", POINTER(Bytes)),
        ("id_prefix_count", c_size_t),
        ("id_collections", POINTER(Bytes)),
        ("id_collection_count", c_size_t),
        ("max_age", c_uint32),
        ("skew", c_uint32),
        ("max_life", c_uint32),
        ("max_idle", c_uint32),
        ("success_first", c_uint16),
        ("success_last", c_uint16),
        ("placement_key", c_uint8 * 16),
        ("strategy", c_uint8),
        ("policy_existing", c_uint8),
        ("policy_new", c_uint8),
        ("combine_keys", c_uint8),
        ("reject_bad_keys", c_uint8),
        ("keyed_cookies", c_uint8),
        ("mint_single", c_uint8),
        ("prompt_cache", c_uint8),
        ("replace_rules", c_uint8),
        ("id_mode", c_uint8),
        ("id_owner", c_uint8),
        ("foreign_seals", c_uint8),
        ("encrypted_content", c_uint8),
    ]


class ConfigError(Structure):
    _fields_ = [("status", c_int32), ("field", c_uint32), ("index", c_uint64)]


class IdSummary(Structure):
    _fields_ = [("private_words", c_uint64 * 56)]


class IdReport(Structure):
    _fields_ = [
        ("opened", c_uint32),
        ("plain", c_uint32),
        ("echoes_lost", c_uint32),
        ("verdict", c_uint8),
        ("keys", c_uint8 * 2),
        ("refused", c_uint8),
        ("unreadable", c_uint8),
        ("existing", c_uint8),
        ("seals", c_uint8),
        ("changes_response", c_uint8),
        ("unstored", c_uint8),
        ("uploads", c_uint8),
        ("downloads", c_uint8),
        ("quoted_len", c_uint8),
        ("quoted", c_uint8 * 64),
    ]


class IdUse(Structure):
    _fields_ = [
        ("scope", Bytes),
        ("owner", Bytes),
        ("upstream", Bytes),
        ("origin", Bytes),
        ("ids", c_uint8),
        ("has_mode", c_uint8),
        ("mode", c_uint8),
    ]


class IdSealer(Structure):
    _fields_ = [("private_words", c_uint64 * 128)]


class IdRing(Structure):
    _fields_ = [("private_words", c_uint64 * 38)]


class Piece(Structure):
    _fields_ = [
        ("passed", c_size_t),
        ("put", c_void_p),
        ("put_len", c_size_t),
        ("taken", c_size_t),
        ("changed", c_uint32),
        ("unexpected", c_uint32),
    ]


class Request(Structure):
    _fields_ = [
        ("method", Bytes),
        ("target", Bytes),
        ("consumers", POINTER(Bytes)),
        ("consumer_count", c_size_t),
        ("sessions", POINTER(Bytes)),
        ("session_count", c_size_t),
        ("cookies", POINTER(Bytes)),
        ("cookie_count", c_size_t),
        ("carrier_value", Bytes),
        ("scope", Bytes),
        ("ids", POINTER(IdSummary)),
        ("tried", POINTER(c_uint32)),
        ("tried_count", c_size_t),
        ("now", c_uint64),
        ("id_hint", c_char_p),
        ("entropy", c_uint8 * 16),
        ("has_group", c_uint8),
        ("group", c_uint8),
        ("existing", c_uint8),
        ("consumer_trusted", c_uint8),
        ("carrier", c_uint8),
    ]


class Decision(Structure):
    _fields_ = [
        ("fingerprint", c_uint64),
        ("slot", c_uint32),
        ("max_age", c_uint32),
        ("retry_after", c_uint32),
        ("source", c_uint8),
        ("outcome", c_uint8),
        ("pin_state", c_uint8),
        ("verdict", c_uint8),
        ("id_verdict", c_uint8),
        ("id_keys", c_uint8 * 2),
        ("key_reason", c_uint8),
        ("ambiguous", c_uint8),
        ("existing", c_uint8),
        ("may_move", c_uint8),
        ("cookie", c_uint8),
        ("carrier", c_uint8),
        ("has_name_suffix", c_uint8),
        ("name_suffix", c_uint8 * 4),
        ("value", c_uint8 * 67),
    ]


class Key(Structure):
    _fields_ = [("kind", c_uint8), ("key", Bytes), ("session", Bytes)]


class Slot(Structure):
    _fields_ = [("identity_hash", c_uint64), ("word", c_uint64)]


class Filter(Structure):
    _fields_ = [("now", c_uint64), ("tried", POINTER(c_uint32)), ("tried_count", c_size_t), ("anonymous", c_uint8)]


class KeyRing(Structure):
    _fields_ = [("private_words", c_uint64 * 56)]


class Cookie(Structure):
    _fields_ = [
        ("pin", c_uint64),
        ("issued_at", c_uint32),
        ("refreshed_at", c_uint32),
        ("id", c_uint8 * 16),
        ("kind", c_uint8),
    ]


class Limits(Structure):
    _fields_ = [("skew", c_uint32), ("max_life", c_uint32), ("max_idle", c_uint32), ("refresh_interval", c_uint32)]


# A byte string crosses as pointer and length.
TEXT = [c_char_p, c_size_t]
BUFFER = [c_char_p, c_size_t, POINTER(c_size_t)]

SIGNATURES = {
    "config_init": [POINTER(Config), c_size_t],
    "affinity_new": [POINTER(Config), POINTER(c_void_p), POINTER(ConfigError)],
    "affinity_set_slot": [c_void_p, c_uint32, POINTER(SlotStatus)],
    "affinity_get_slot": [c_void_p, c_uint32, POINTER(SlotStatus), POINTER(c_uint64)],
    "affinity_find": [c_void_p] + TEXT + [POINTER(c_uint32)],
    "affinity_cookie_name": [c_void_p] + TEXT + BUFFER,
    "affinity_id_hint": [c_void_p] + TEXT + [POINTER(c_uint8 * 16)],
    "affinity_classify": [c_void_p] + TEXT + TEXT + [POINTER(c_uint8)] * 3,
    "affinity_fingerprint": [c_void_p, POINTER(c_uint64)],
    "affinity_live_fingerprint": [c_void_p, c_uint64, POINTER(c_uint64)],
    "affinity_decide": [c_void_p, POINTER(Request), POINTER(Decision)],
    "affinity_finish": [c_void_p, POINTER(Decision), c_uint16] + BUFFER + [POINTER(c_uint8)],
    "jump": [c_uint64, c_uint32, POINTER(c_uint32)],
    "identity_hash": TEXT + [POINTER(c_uint64)],
    "key_hash": [c_char_p] + TEXT + [POINTER(Key), POINTER(c_uint64)],
    "slot_init": [POINTER(Slot)] + TEXT + [POINTER(SlotStatus)],
    "slot_init_vacant": [POINTER(Slot)],
    "slot_set": [POINTER(Slot), POINTER(SlotStatus)],
    "select": [c_uint8, POINTER(Slot), c_size_t, POINTER(Filter), c_uint64, POINTER(c_uint32)],
    "select_higress": [POINTER(Slot), c_size_t, POINTER(Filter), c_uint64, POINTER(Key), POINTER(c_uint32)],
    "select_batch": [c_uint8, POINTER(Slot), c_size_t, POINTER(Filter), POINTER(c_uint64), c_size_t, POINTER(c_uint32)],
    "key_ring_init": [POINTER(KeyRing), POINTER(CookieKey), c_size_t, c_char_p, POINTER(ConfigError)],
    "cookie_encode": [POINTER(KeyRing)] + TEXT + TEXT + [POINTER(Key), POINTER(Cookie), c_char_p],
    "cookie_decode": [POINTER(KeyRing)]
    + TEXT
    + TEXT
    + [POINTER(Key), POINTER(Limits), c_uint64]
    + TEXT
    + [POINTER(c_uint8), POINTER(Cookie)],
    "cookie_default_name": TEXT + BUFFER,
    "cookie_next": TEXT + TEXT + [POINTER(c_size_t), POINTER(Bytes)],
    "cookie_strip": TEXT + TEXT + BUFFER,
    "set_cookie_write": TEXT + TEXT + [POINTER(Attributes), c_uint32] + BUFFER,
    "set_cookie_matches": TEXT + TEXT + [POINTER(c_uint8)],
    "classify": [POINTER(Rule), c_size_t, c_uint8, c_uint8] + TEXT + TEXT + [POINTER(c_uint8)] * 3,
    "decision_refusal": [POINTER(Decision), POINTER(c_uint16), POINTER(c_uint8)],
    "affinity_id_owner": [c_void_p, POINTER(Request), POINTER(Bytes)],
    "affinity_id_key": [c_void_p, c_uint8, POINTER(Bytes)],
    "id_summary_init": [POINTER(IdSummary)],
    "id_summary_report": [POINTER(IdSummary), POINTER(IdReport)],
    "affinity_open_target": [c_void_p, POINTER(IdUse), POINTER(IdSummary)] + TEXT + BUFFER,
    "affinity_open_in_place": [c_void_p, POINTER(IdUse), POINTER(IdSummary)]
    + TEXT
    + [POINTER(c_size_t), POINTER(c_uint32)],
    "id_sealer_init": [POINTER(IdSealer), c_uint8],
    "affinity_seal_step": [c_void_p, POINTER(IdUse), POINTER(IdSummary), c_uint32, POINTER(IdSealer)]
    + TEXT
    + [POINTER(Piece)],
    "affinity_seal_end": [c_void_p, POINTER(IdUse), POINTER(IdSummary), c_uint32, POINTER(IdSealer), POINTER(Piece)],
    "affinity_seal_target": [c_void_p, POINTER(IdUse), POINTER(IdSummary), c_uint32] + TEXT + BUFFER,
    "id_ring_init": [POINTER(IdRing), POINTER(CookieKey), c_size_t, c_char_p, POINTER(ConfigError)],
    "id_seal": [POINTER(IdRing)] + TEXT + TEXT + [c_uint64] + TEXT + BUFFER,
    "id_open": [POINTER(IdRing)]
    + TEXT
    + TEXT
    + TEXT
    + BUFFER
    + [POINTER(c_uint8), POINTER(c_uint64), POINTER(c_uint8)],
    "id_mark": [POINTER(IdRing)] + TEXT + TEXT + [c_uint64] + TEXT + [c_char_p],
    "id_open_mark": [POINTER(IdRing)] + TEXT + TEXT + TEXT + [POINTER(c_size_t), POINTER(c_uint8), POINTER(c_uint64)],
}


class Failed(Exception):
    """A status other than 0."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


def load(path):
    dll = ctypes.CDLL(path)
    for name, arguments in SIGNATURES.items():
        function = getattr(dll, "tokenpin_" + name)
        function.restype = c_int32
        function.argtypes = arguments
    dll.tokenpin_affinity_free.restype = None
    dll.tokenpin_affinity_free.argtypes = [c_void_p]
    dll.tokenpin_abi_version.restype = c_uint32
    if dll.tokenpin_abi_version() != ABI_VERSION:
        raise SystemExit("the library's ABI version is not %d" % ABI_VERSION)
    return dll


# ---- From the twin's objects to structures -------------------------------------------

SAME_SITES = [twin.SAME_SITE_LAX, twin.SAME_SITE_STRICT, twin.SAME_SITE_NONE]


def text(data):
    """The two arguments of a byte string. The length counts, because the bytes may hold a NUL."""
    return (data, len(data)) if data else (None, 0)


def as_bytes(data):
    return Bytes(*text(data))


def array(kind, items):
    """None for no items: a null pointer."""
    return (kind * len(items))(*items) if items else None


def as_16(data):
    return (c_uint8 * 16)(*data)


def as_status(slot):
    if slot.vacant:
        return SlotStatus(0, 0, twin.VACANT)
    return SlotStatus(slot.until, slot.weight, slot.state)


def as_key(key):
    if key is None:
        return None
    if key.kind == twin.COMBINED:
        length = int.from_bytes(key.data[:4], "little")
        return Key(key.kind, as_bytes(key.data[4 : 4 + length]), as_bytes(key.data[4 + length :]))
    return Key(key.kind, as_bytes(key.data), as_bytes(b""))


def as_attributes(attributes):
    return Attributes(
        as_bytes(attributes.path),
        as_bytes(attributes.domain),
        attributes.secure,
        attributes.http_only,
        SAME_SITES.index(attributes.same_site),
        attributes.partitioned,
    )


def as_ring_keys(ring):
    return array(CookieKey, [CookieKey(k.key_id, k.role, as_16(k.secret)) for k in ring])


def as_rules(rules):
    return array(Rule, [Rule(as_bytes(pattern), *rest) for pattern, *rest in rules]), len(rules)


def as_limits(limits):
    return Limits(limits.skew, limits.max_life, limits.max_idle, limits.refresh_interval)


def as_request(request):
    r = Request()
    r.method, r.target = as_bytes(request.method), as_bytes(request.target)
    for field, count, values in (
        ("consumers", "consumer_count", request.consumer_values),
        ("sessions", "session_count", request.session_values),
        ("cookies", "cookie_count", request.cookies),
    ):
        setattr(r, field, array(Bytes, [as_bytes(value) for value in values]))
        setattr(r, count, len(values))
    r.carrier_value, r.scope = as_bytes(request.carrier_value), as_bytes(request.scope)
    r.tried, r.tried_count = array(c_uint32, request.tried), len(request.tried)
    r.now, r.id_hint, r.entropy = request.now, request.id_hint, as_16(request.entropy)
    r.has_group = request.group is not None
    r.group = request.group or 0
    r.existing, r.consumer_trusted = request.existing, request.trusted
    r.carrier = request.carrier
    return r


def pointed_at(value):
    """The bytes of a Bytes that the library wrote. Uses the raw pointer, because c_char_p would
    stop at a NUL."""
    address = c_void_p.from_buffer(value, Bytes.ptr.offset).value
    return ctypes.string_at(address, value.len) if value.len else b""


# ---- The functions -------------------------------------------------------------------


class Library:
    def __init__(self, path):
        self.dll = load(path)

    def call(self, name, *arguments):
        status = getattr(self.dll, "tokenpin_" + name)(*arguments)
        if status != OK:
            raise Failed(status)

    def value(self, kind, name, *arguments):
        """A call whose last argument receives a number."""
        result = kind()
        self.call(name, *arguments, byref(result))
        return result.value

    def written(self, name, *arguments):
        """A call that ends with buffer, capacity and length."""
        capacity = 8192
        buffer = ctypes.create_string_buffer(capacity)
        length = c_size_t()
        self.call(name, *arguments, buffer, capacity, byref(length))
        return buffer.raw[: length.value]

    def jump(self, key, n):
        return self.value(c_uint32, "jump", key, n)

    def identity_hash(self, identity):
        return self.value(c_uint64, "identity_hash", *text(identity))

    def key_hash(self, placement_key, scope, key):
        return self.value(c_uint64, "key_hash", placement_key, *text(scope), byref(as_key(key)))

    def slots(self, slots):
        made = (Slot * len(slots))()
        for made_slot, slot in zip(made, slots):
            if slot.vacant:
                self.call("slot_init_vacant", byref(made_slot))
            else:
                self.call("slot_init", byref(made_slot), *text(slot.identity), byref(as_status(slot)))
        return made

    def set_slot(self, made_slot, slot):
        self.call("slot_set", byref(made_slot), byref(as_status(slot)))

    def select(self, strategy, made, h, key, anonymous, now, tried):
        filter = Filter(now, array(c_uint32, tried), len(tried), anonymous)
        if strategy == twin.HIGRESS:
            slot = self.value(c_uint32, "select_higress", made, len(made), byref(filter), h, byref(as_key(key)))
        else:
            slot = self.value(c_uint32, "select", strategy, made, len(made), byref(filter), h)
        return None if slot == NO_SLOT else slot

    def select_batch(self, strategy, made, hashes, anonymous, now, tried):
        filter = Filter(now, array(c_uint32, tried), len(tried), anonymous)
        selected = (c_uint32 * len(hashes))()
        self.call(
            "select_batch", strategy, made, len(made), byref(filter), array(c_uint64, hashes), len(hashes), selected
        )
        return [None if slot == NO_SLOT else slot for slot in selected]

    def ring(self, ring, placement_key=None):
        made = KeyRing()
        self.call("key_ring_init", byref(made), as_ring_keys(ring), len(ring), placement_key, None)
        return made

    def encode(self, made_ring, name, scope, key, cookie):
        fields = Cookie(cookie.pin, cookie.issued_at, cookie.refreshed_at, as_16(cookie.id), cookie.kind)
        value = ctypes.create_string_buffer(twin.LENGTH)
        self.call("cookie_encode", byref(made_ring), *text(name), *text(scope), as_key(key), byref(fields), value)
        return value.raw

    def decode(self, made_ring, name, scope, key, limits, now, value):
        """(verdict, (kind, issued_at, refreshed_at, id, pin) or None)."""
        verdict, fields = c_uint8(), Cookie()
        self.call(
            "cookie_decode",
            byref(made_ring),
            *text(name),
            *text(scope),
            as_key(key),
            byref(as_limits(limits)),
            now,
            *text(value),
            byref(verdict),
            byref(fields),
        )
        if verdict.value in (twin.ABSENT, twin.MALFORMED, twin.UNKNOWN_VERSION, twin.UNKNOWN_KEY, twin.BAD_TAG):
            return verdict.value, None
        return verdict.value, (fields.kind, fields.issued_at, fields.refreshed_at, bytes(fields.id), fields.pin)

    def default_name(self, scope):
        return self.written("cookie_default_name", *text(scope))

    def values_of(self, field, name):
        values, offset, value = [], c_size_t(), Bytes()
        while True:
            try:
                self.call("cookie_next", *text(field), *text(name), byref(offset), byref(value))
            except Failed as failed:
                if failed.status == END:
                    return values
                raise
            values.append(pointed_at(value))

    def strip_field(self, field, name):
        return self.written("cookie_strip", *text(field), *text(name))

    def set_cookie(self, name, value, seconds, attributes):
        return self.written("set_cookie_write", *text(name), *text(value), byref(as_attributes(attributes)), seconds)

    def sets_our_cookie(self, field, name):
        return bool(self.value(c_uint8, "set_cookie_matches", *text(field), *text(name)))

    def classify(self, rules, replace, prompt_cache, method, target):
        group, existing, ids = c_uint8(), c_uint8(), c_uint8()
        self.call(
            "classify",
            *as_rules(rules),
            replace,
            prompt_cache,
            *text(method),
            *text(target),
            byref(group),
            byref(existing),
            byref(ids),
        )
        return group.value, bool(existing.value), ids.value

    def id_ring(self, ring):
        made = IdRing()
        self.call("id_ring_init", byref(made), as_ring_keys(ring), len(ring), None, None)
        return made

    def seal_id(self, made, scope, owner, id, pin):
        try:
            return self.written("id_seal", byref(made), *text(scope), *text(owner), pin, *text(id))
        except Failed as failed:
            if failed.status == NO_ID:
                return None
            raise

    def open_id(self, made, scope, owner, id):
        """(verdict, native, pin)."""
        buffer, length = ctypes.create_string_buffer(1024), c_size_t()
        verdict, pin, key = c_uint8(), c_uint64(), c_uint8()
        self.call(
            "id_open",
            byref(made),
            *text(scope),
            *text(owner),
            *text(id),
            buffer,
            1024,
            byref(length),
            byref(verdict),
            byref(pin),
            byref(key),
        )
        if verdict.value != SEALED:
            return verdict.value, None, None
        return verdict.value, buffer.raw[: length.value], pin.value

    def mark(self, made, scope, owner, content, pin):
        mark = ctypes.create_string_buffer(26)
        self.call("id_mark", byref(made), *text(scope), *text(owner), pin, *text(content), mark)
        return mark.raw

    def open_mark(self, made, scope, owner, content):
        """(verdict, content, pin)."""
        length, verdict, pin = c_size_t(), c_uint8(), c_uint64()
        self.call(
            "id_open_mark",
            byref(made),
            *text(scope),
            *text(owner),
            *text(content),
            byref(length),
            byref(verdict),
            byref(pin),
        )
        if verdict.value != SEALED:
            return verdict.value, None, None
        return verdict.value, content[: length.value], pin.value


class Affinity:
    """An affinity of the library, for a configuration of the twin."""

    def __init__(self, library, config):
        self.library = library
        c = Config()
        library.call("config_init", byref(c), ctypes.sizeof(c))
        c.cookie_keys, c.cookie_key_count = as_ring_keys(config.ring), len(config.ring)
        c.slots = array(
            SlotConfig, [SlotConfig(as_bytes(slot.identity or b""), as_status(slot)) for slot in config.slots]
        )
        c.slot_count = len(config.slots)
        c.scope, c.cookie_name = as_bytes(config.scope), as_bytes(config.cookie_name or b"")
        c.attributes = as_attributes(config.attributes)
        c.rules, c.rule_count = as_rules(config.rules)
        c.max_age = AUTO_MAX_AGE if config.max_age is None else config.max_age
        c.success_first, c.success_last = config.success
        c.placement_key = as_16(config.placement_key)
        for name in (
            "skew",
            "max_life",
            "max_idle",
            "strategy",
            "policy_existing",
            "policy_new",
            "combine_keys",
            "reject_bad_keys",
            "keyed_cookies",
            "mint_single",
            "prompt_cache",
            "replace_rules",
        ):
            setattr(c, name, getattr(config, name))
        c.id_keys, c.id_key_count = as_ring_keys(config.own_id_keys), len(config.own_id_keys)
        c.id_fields = array(
            IdField, [IdField(as_bytes(name), bodies.KINDS.index(kind)) for name, kind in config.id_fields]
        )
        c.id_field_count = len(config.id_fields)
        for name, values in (("id_prefix", config.id_prefixes), ("id_collection", config.id_collections)):
            setattr(
                c, name + ("es" if name == "id_prefix" else "s"), array(Bytes, [as_bytes(value) for value in values])
            )
            setattr(c, name + "_count", len(values))
        for name in ("id_mode", "id_owner", "foreign_seals", "encrypted_content"):
            setattr(c, name, getattr(config, name))
        self.handle = c_void_p()
        library.call("affinity_new", byref(c), byref(self.handle), None)

    def free(self):
        self.library.dll.tokenpin_affinity_free(self.handle)

    def set_slot(self, i, slot):
        self.library.call("affinity_set_slot", self.handle, i, byref(as_status(slot)))

    def get_slot(self, i):
        """(until, weight, state, identity hash)."""
        status, hash = SlotStatus(), c_uint64()
        self.library.call("affinity_get_slot", self.handle, i, byref(status), byref(hash))
        return status.until, status.weight, status.state, hash.value

    def find(self, identity):
        slot = self.library.value(c_uint32, "affinity_find", self.handle, *text(identity))
        return None if slot == NO_SLOT else slot

    def cookie_name(self, scope):
        return self.library.written("affinity_cookie_name", self.handle, *text(scope))

    def id_hint(self, of):
        hint = (c_uint8 * 16)()
        self.library.call("affinity_id_hint", self.handle, *text(of), byref(hint))
        return bytes(hint)

    def classify(self, method, target):
        group, existing, ids = c_uint8(), c_uint8(), c_uint8()
        self.library.call(
            "affinity_classify", self.handle, *text(method), *text(target), byref(group), byref(existing), byref(ids)
        )
        return group.value, bool(existing.value), ids.value

    def read_request(self, request, body):
        """(target and body for the upstream, a report, unexpected, the summary)."""
        owner, use, summary = Bytes(), IdUse(), IdSummary()
        as_it_came = as_request(request)
        self.library.call("affinity_id_owner", self.handle, byref(as_it_came), byref(owner))
        use.scope, use.owner = as_bytes(request.scope), owner
        _, _, use.ids = self.classify(request.method, request.target)
        self.library.call("id_summary_init", byref(summary))
        target = self.library.written(
            "affinity_open_target", self.handle, byref(use), byref(summary), *text(request.target)
        )
        buffer, length = ctypes.create_string_buffer(body, len(body) or 1), c_size_t()
        unexpected, report = c_uint32(), IdReport()
        self.library.call(
            "affinity_open_in_place",
            self.handle,
            byref(use),
            byref(summary),
            buffer,
            len(body),
            byref(length),
            byref(unexpected),
        )
        self.library.call("id_summary_report", byref(summary), byref(report))
        return target, buffer.raw[: length.value], report, unexpected.value, summary

    def id_key(self, number):
        name = Bytes()
        self.library.call("affinity_id_key", self.handle, number, byref(name))
        return pointed_at(name)

    def seal(self, scope, ids, slot, body, chunk):
        """(output for the client, changed, unexpected), in chunks of this length."""
        use, sealer, piece = IdUse(), IdSealer(), Piece()
        use.scope, use.ids = as_bytes(scope), ids
        events = body.lstrip(bodies.BLANKS)[:1] in (b"d", b"e", b"i", b"r", b":")
        self.library.call("id_sealer_init", byref(sealer), events)
        out = b""
        for start in range(0, len(body), chunk):
            rest = body[start : start + chunk]
            while rest:
                self.library.call(
                    "affinity_seal_step", self.handle, byref(use), None, slot, byref(sealer), *text(rest), byref(piece)
                )
                out += rest[: piece.passed] + ctypes.string_at(piece.put or 0, piece.put_len)
                rest = rest[piece.taken :]
        self.library.call("affinity_seal_end", self.handle, byref(use), None, slot, byref(sealer), byref(piece))
        out += ctypes.string_at(piece.put or 0, piece.put_len)
        return out, piece.changed, piece.unexpected

    def seal_target(self, scope, ids, slot, target):
        use = IdUse()
        use.scope, use.ids = as_bytes(scope), ids
        return self.library.written("affinity_seal_target", self.handle, byref(use), None, slot, *text(target))

    def fingerprint(self):
        return self.library.value(c_uint64, "affinity_fingerprint", self.handle)

    def live_fingerprint(self, now):
        return self.library.value(c_uint64, "affinity_live_fingerprint", self.handle, now)

    def decide(self, request, summary=None):
        decision = Decision()
        ctypes.memset(byref(decision), 0xA5, ctypes.sizeof(decision))
        untouched = bytes(decision)
        asked = as_request(request)
        asked.ids = None if summary is None else ctypes.pointer(summary)
        try:
            self.library.call("affinity_decide", self.handle, byref(asked), byref(decision))
        except Failed:
            if bytes(decision) != untouched:
                raise AssertionError("a refused decision was written to")
            raise
        return decision

    def refusal(self, decision):
        """(number, status)."""
        status, refusal = c_uint16(), c_uint8()
        self.library.call("decision_refusal", byref(decision), byref(status), byref(refusal))
        return refusal.value, status.value

    def finish(self, decision, status):
        """(answer, text)."""
        buffer = ctypes.create_string_buffer(4096)
        length, answer = c_size_t(), c_uint8()
        self.library.call(
            "affinity_finish", self.handle, byref(decision), status, buffer, 4096, byref(length), byref(answer)
        )
        return answer.value, buffer.raw[: length.value]
