"""A second implementation of tokenpin: slow, obvious, and written only from the documentation.

The sections follow docs/spec/selection.md, docs/spec/cookie-format.md, docs/spec/sealed-ids.md and
docs/spec/decision.md, heading by heading. If the text leaves a choice, a comment that starts with
"Reading:" names the meaning taken. Input that the caller can be trusted with is not checked:
configurations are assumed valid.
"""

import functools
import re
import struct

MASK64 = 2**64 - 1

# ======================================================================================
# docs/spec/selection.md
# ======================================================================================

# ---- Notation ------------------------------------------------------------------------


def u8(x):
    return bytes([x])


def u32le(x):
    return x.to_bytes(4, "little")


def u32be(x):
    return x.to_bytes(4, "big")


def u64le(x):
    return x.to_bytes(8, "little")


def number(eight_bytes):
    return int.from_bytes(eight_bytes, "little")


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def siphash(c, d, key, message, size=8):
    """SipHash-c-d (Aumasson and Bernstein), with 8 or 16 output bytes."""
    k0, k1 = struct.unpack("<QQ", key)
    v0 = k0 ^ 0x736F6D6570736575
    v1 = k1 ^ 0x646F72616E646F6D
    v2 = k0 ^ 0x6C7967656E657261
    v3 = k1 ^ 0x7465646279746573
    if size == 16:
        v1 ^= 0xEE

    def rounds(n, v0, v1, v2, v3):
        for _ in range(n):
            v0 = (v0 + v1) & MASK64
            v1 = ((v1 << 13) | (v1 >> 51)) & MASK64
            v1 ^= v0
            v0 = ((v0 << 32) | (v0 >> 32)) & MASK64
            v2 = (v2 + v3) & MASK64
            v3 = ((v3 << 16) | (v3 >> 48)) & MASK64
            v3 ^= v2
            v0 = (v0 + v3) & MASK64
            v3 = ((v3 << 21) | (v3 >> 43)) & MASK64
            v3 ^= v0
            v2 = (v2 + v1) & MASK64
            v1 = ((v1 << 17) | (v1 >> 47)) & MASK64
            v1 ^= v2
            v2 = ((v2 << 32) | (v2 >> 32)) & MASK64
        return v0, v1, v2, v3

    # The message, zeros up to the last byte of a word, and its length modulo 256 in that byte.
    padded = message + bytes(7 - len(message) % 8) + u8(len(message) % 256)
    for (word,) in struct.iter_unpack("<Q", padded):
        v3 ^= word
        v0, v1, v2, v3 = rounds(c, v0, v1, v2, v3)
        v0 ^= word
    v2 ^= 0xEE if size == 16 else 0xFF
    v0, v1, v2, v3 = rounds(d, v0, v1, v2, v3)
    output = u64le(v0 ^ v1 ^ v2 ^ v3)
    if size == 16:
        v1 ^= 0xDD
        v0, v1, v2, v3 = rounds(d, v0, v1, v2, v3)
        output += u64le(v0 ^ v1 ^ v2 ^ v3)
    return output


def siphash13(key, message):
    return siphash(1, 3, key, message)


def siphash24(key, message):
    return siphash(2, 4, key, message)


def siphash24_128(key, message):
    return siphash(2, 4, key, message, 16)


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK64
    return x ^ (x >> 31)


# ---- Slots ---------------------------------------------------------------------------

UP, DRAINING, DOWN, VACANT = range(4)
FULL_WEIGHT = 65536


@functools.lru_cache(maxsize=None)
def identity_hash(identity):
    return number(siphash24(b"tokenpin.v1.acct", identity))


class Slot:
    """A slot; a vacant one has no identity."""

    def __init__(self, identity=None, weight=FULL_WEIGHT, state=UP, until=0):
        self.identity = identity
        self.weight = weight
        self.state = state
        self.until = until

    @property
    def vacant(self):
        return self.identity is None

    @property
    def id(self):
        return identity_hash(self.identity)

    def state_at(self, now):
        if self.vacant:
            return VACANT
        if self.state in (DRAINING, DOWN) and self.until != 0 and now >= self.until:
            return UP
        return self.state

    def __repr__(self):
        return "Slot(%r, weight=%d, state=%d, until=%d)" % (self.identity, self.weight, self.state, self.until)


# ---- The hash of a key ---------------------------------------------------------------

# The kinds of an affinity key. These are the kinds of the cookie; the tags of the hash differ.
ANONYMOUS, CONSUMER, SESSION, COMBINED = range(4)
TAG_OF_KIND = {CONSUMER: 1, ANONYMOUS: 2, SESSION: 3, COMBINED: 4}


class Key:
    """An affinity key: its kind and its key bytes."""

    def __init__(self, kind, data):
        self.kind = kind
        self.data = data

    def __repr__(self):
        return "Key(%d, %r)" % (self.kind, self.data)


def anonymous_key(id):
    return Key(ANONYMOUS, id)


def consumer_key(name):
    return Key(CONSUMER, name)


def session_key(session):
    return Key(SESSION, session)


def combined_key(name, session):
    return Key(COMBINED, u32le(len(name)) + name + session)


def key_hash(placement_key, scope, key):
    message = u8(TAG_OF_KIND[key.kind]) + u32le(len(scope)) + scope + key.data
    return number(siphash13(placement_key, message))


# ---- Candidates ----------------------------------------------------------------------


def in_state(slots, states, now, excluded):
    """The slots in one of these states that have a weight and are not excluded."""
    return [
        i
        for i, slot in enumerate(slots)
        if not slot.vacant and slot.weight > 0 and i not in excluded and slot.state_at(now) in states
    ]


def candidates_of(slots, anonymous, now, excluded):
    """`excluded`: the tried slots, and a pinned slot that cannot serve."""
    if not anonymous:
        return in_state(slots, (UP, DRAINING), now, excluded)
    # Reading: "not tried" also excludes a pinned slot that cannot serve, as the first paragraph
    # does.
    return in_state(slots, (UP,), now, excluded) or in_state(slots, (DRAINING,), now, excluded)


# ---- Jump, the default strategy ------------------------------------------------------

JUMP, RENDEZVOUS, HIGRESS = range(3)
PROBES = 16
PLACES = 64


def chain(h):
    """h_(k+1) of h_k."""
    return mix(h ^ 0x9E3779B97F4A7C15)


def by_probes(h, slots, candidates, exits=None):
    """Steps 1 and 2: the slot that serves, or None."""
    n = len(slots)
    for k in range(PROBES):
        # Here h is h_k.
        slot = jump(h, n) if k == 0 else probe(h, n, exits)
        if slot >= n:
            return None
        h = chain(h)
        if slot in candidates and h >> 48 < slots[slot].weight:
            return slot
    return None


def next_word(x):
    return mix(x ^ 0xD6E8FEB86659FD93)


def probe(h, n, exits=None):
    """A slot number, or one that ends the probing. `exits`: a set that collects the exits."""
    exits = set() if exits is None else exits

    def leave(where, b):
        exits.add(where)
        return b

    if n <= PLACES:
        return leave("few slots", h & 63)
    power = 1
    while power < n:
        power *= 2
    v = next_word(h)
    w = v
    u = (v ^ (v >> 32)) & (power - PLACES)
    while u != 0:
        q = 1 << (u.bit_length() - 1)
        even = bin(u).count("1") % 2 == 0
        z = v & 0xFFFFFFFF if even else v >> 32
        b = q + (z & (q - 1))
        redrawn = False
        for _ in range(64):
            if b < n:
                return leave("high half" if redrawn else "first draw", b)
            redrawn = True
            w = next_word(w)
            b = w & (2 * q - 1)
            if b < q:
                leave("low half below q", b)
                break
            if b < n:
                return leave("low half", b)
            b = (w >> 32) & (2 * q - 1)
            if b < q:
                leave("high half below q", b)
                break
        u ^= q
    return leave("low bits", h & 63)


def jump(key, n):
    # Python's floats are binary64, int() truncates; both conversions to float are exact.
    b, j = -1, 0
    while j < n:
        b = j
        key = (key * 2862933555777941757 + 1) & MASK64
        j = int(float(b + 1) * (2147483648.0 / float((key >> 33) + 1)))
    return b


# ---- Weighted rendezvous -------------------------------------------------------------


def log2_of_ratio(numerator, denominator, fraction_bits):
    """floor(2^fraction_bits * log2(numerator / denominator)) for a ratio in [1, 2).

    Squaring x doubles its logarithm; each time the square reaches 2, the next binary digit is 1
    and x is halved. The guard bits outweigh the truncation, which each squaring doubles.
    """
    guard = 3 * fraction_bits
    one = 1 << guard
    x = (numerator << guard) // denominator
    result = 0
    for _ in range(fraction_bits):
        x = (x * x) >> guard
        result *= 2
        if x >= 2 * one:
            x //= 2
            result += 1
    return result


def scaled_log2(j):
    """2^40 * log2(1 + j / 256), and 24 more bits behind the point."""
    if j == 256:
        return 1 << 64
    return log2_of_ratio(256 + j, 256, 64)


LOG_TABLE = [(scaled_log2(j) + (1 << 23)) >> 24 for j in range(257)]


def log_of_draw(r):
    x = r + 1
    if x == 2**64:
        return 0
    e = x.bit_length() - 1
    m = x << (63 - e)
    k = (m >> 55) & 0xFF
    f = (m >> 31) & 0xFFFFFF
    step = LOG_TABLE[k + 1] - LOG_TABLE[k]
    return (64 << 40) - ((e << 40) + LOG_TABLE[k] + ((step * f) >> 24))


def beats(a, b):
    """a and b: (draw, weight, slot number)."""
    (r_a, weight_a, slot_a), (r_b, weight_b, slot_b) = a, b
    left = log_of_draw(r_a) * weight_b
    right = log_of_draw(r_b) * weight_a
    if left != right:
        return left < right
    if r_a != r_b:
        return r_a > r_b
    return slot_a < slot_b


def weighted_rendezvous(h, slots, candidates):
    best = None
    for i in candidates:
        entry = (mix(h ^ slots[i].id), slots[i].weight, i)
        if best is None or beats(entry, best):
            best = entry
    return None if best is None else best[2]


# ---- The other strategies ------------------------------------------------------------


def fnv1a32(data):
    x = 0x811C9DC5
    for byte in data:
        x = (x ^ byte) * 0x01000193 % 2**32
    return x


def higress_bytes(key):
    if key.kind != ANONYMOUS:
        return key.data
    text = key.data.hex()
    parts = (text[0:8], text[8:12], text[12:16], text[16:20], text[20:32])
    return "-".join(parts).encode()


def select(strategy, slots, placement_key, scope, key, now, excluded=()):
    """The slot that serves `key`, or None."""
    h = key_hash(placement_key, scope, key)
    return select_hash(strategy, slots, h, key, key.kind == ANONYMOUS, now, excluded)


def select_hash(strategy, slots, h, key, anonymous, now, excluded=()):
    """Selects for a key's hash. Only Higress's strategy reads the key itself."""
    candidates = candidates_of(slots, anonymous, now, excluded)
    if strategy == JUMP:
        slot = by_probes(h, slots, candidates)
        if slot is not None:
            return slot
    elif strategy == HIGRESS:
        filled = [i for i in range(len(slots)) if not slots[i].vacant]
        if filled:
            slot = filled[fnv1a32(higress_bytes(key)) % len(filled)]
            if slot in candidates:
                return slot
    return weighted_rendezvous(h, slots, candidates)


# ======================================================================================
# docs/spec/cookie-format.md
# ======================================================================================

# ---- The value -----------------------------------------------------------------------

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LENGTH = 67
VERSION = 1


class Cookie:
    def __init__(self, kind, key_id, issued_at, refreshed_at, id, pin):
        self.kind = kind
        self.key_id = key_id
        self.issued_at = issued_at
        self.refreshed_at = refreshed_at
        self.id = id
        self.pin = pin  # the plain pin: an identity hash

    def __repr__(self):
        return "Cookie(kind=%d, key_id=%d, issued_at=%d, refreshed_at=%d, id=%s, pin=%016x)" % (
            self.kind,
            self.key_id,
            self.issued_at,
            self.refreshed_at,
            self.id.hex(),
            self.pin,
        )


def base64url(data):
    bits = int.from_bytes(data, "big")
    characters = -(-len(data) * 8 // 6)
    bits <<= characters * 6 - len(data) * 8
    return bytes(ALPHABET[bits >> 6 * i & 63] for i in reversed(range(characters)))


def unbase64url(text):
    """The 50 bytes of a value, or None."""
    if len(text) != LENGTH or any(character not in ALPHABET for character in text):
        return None
    bits = 0
    for character in text:
        bits = bits << 6 | ALPHABET.index(character)
    # 67 characters are 402 bits, 50 bytes are 400.
    if bits & 3:
        return None
    return (bits >> 2).to_bytes(50, "big")


@functools.lru_cache(maxsize=4096)
def derived_key(secret, label):
    return siphash24_128(secret, label)


def cookie_tag(secret, name, scope, head, pin, key):
    """`head`: bytes 0 to 26 of the value; the kind is in its first byte."""
    mac_key = derived_key(secret, b"tokenpin.v1.mac")
    bind_key = derived_key(secret, b"tokenpin.v1.key")
    kind = head[0] & 15
    bind = b"" if kind == ANONYMOUS else siphash24_128(bind_key, u8(kind) + key.data)
    message = u8(len(name)) + name + u32le(len(scope)) + scope + head + u64le(pin) + bind
    return siphash24_128(mac_key, message)


def pin_mask(secret, tag):
    return siphash24(derived_key(secret, b"tokenpin.v1.pin"), tag)


def encode(cookie, secret, name, scope, key):
    """`key`: only its bytes are read, and for an anonymous cookie nothing."""
    head = (
        u8(VERSION << 4 | cookie.kind)
        + u8(cookie.key_id)
        + u32be(cookie.issued_at)
        + u32be(cookie.refreshed_at)
        + cookie.id
    )
    tag = cookie_tag(secret, name, scope, head, cookie.pin, key)
    return base64url(head + xor(u64le(cookie.pin), pin_mask(secret, tag)) + tag)


# ---- The key ring --------------------------------------------------------------------

SIGN, ACCEPT, RETIRE = range(3)


class RingKey:
    def __init__(self, key_id, secret, role):
        self.key_id = key_id
        self.secret = secret
        self.role = role

    def __repr__(self):
        return "RingKey(%d, %s, %d)" % (self.key_id, self.secret.hex(), self.role)


def signing_key(ring):
    return [key for key in ring if key.role == SIGN][0]


# ---- Reading one value ---------------------------------------------------------------

(
    ABSENT,
    MALFORMED,
    UNKNOWN_VERSION,
    UNKNOWN_KEY,
    BAD_TAG,
    OTHER_KEY,
    NOT_YET_VALID,
    EXPIRED_LIFE,
    EXPIRED_IDLE,
    VALID,
    REFRESH_DUE,
) = range(11)

# In the order of the checks, which is not that of the numbers.
CHECKS = [
    ABSENT,
    MALFORMED,
    UNKNOWN_VERSION,
    UNKNOWN_KEY,
    BAD_TAG,
    OTHER_KEY,
    NOT_YET_VALID,
    EXPIRED_LIFE,
    EXPIRED_IDLE,
    REFRESH_DUE,
    VALID,
]

MAX_MAX_AGE = 34560000


class Limits:
    """Lifetimes in seconds. 0 switches off all except skew."""

    def __init__(self, skew, max_life, max_idle, refresh_interval):
        self.skew = skew
        self.max_life = max_life
        self.max_idle = max_idle
        self.refresh_interval = refresh_interval

    def __repr__(self):
        return "Limits(skew=%d, max_life=%d, max_idle=%d, refresh_interval=%d)" % (
            self.skew,
            self.max_life,
            self.max_idle,
            self.refresh_interval,
        )


def refresh_interval(max_life, max_idle, max_age):
    """max_age is None if it is not configured."""
    ends = [seconds for seconds in (max_idle, max_age) if seconds]
    if ends:
        return min(ends)
    if max_age == 0:
        return 0
    if max_life == 0 or max_life > MAX_MAX_AGE:
        return MAX_MAX_AGE
    return 0


class TagBudget:
    """The number of tags that may still be computed for this request."""

    def __init__(self, left=64):
        self.left = left


def read_value(value, ring, name, scope, key, now, limits, budget):
    """(verdict, cookie). `key` is None in a request without one.

    The cookie is None unless its tag is good.
    """
    data = unbase64url(value)
    if data is None or data[0] & 15 > 3:
        return MALFORMED, None
    version, kind = data[0] >> 4, data[0] & 15
    if version != VERSION:
        return UNKNOWN_VERSION, None
    found = [k for k in ring if k.key_id == data[1]]
    if not found:
        return UNKNOWN_KEY, None
    ring_key = found[0]
    if kind != ANONYMOUS and key is None:
        return BAD_TAG, None
    if budget.left == 0:
        return BAD_TAG, None
    budget.left -= 1
    tag = data[34:50]
    pin = number(xor(data[26:34], pin_mask(ring_key.secret, tag)))
    if cookie_tag(ring_key.secret, name, scope, data[0:26], pin, key) != tag:
        return BAD_TAG, None
    issued_at = int.from_bytes(data[2:6], "big")
    refreshed_at = int.from_bytes(data[6:10], "big")
    cookie = Cookie(kind, data[1], issued_at, refreshed_at, data[10:26], pin)
    if kind != (ANONYMOUS if key is None else key.kind):
        return OTHER_KEY, cookie
    # Reading: sums and products do not wrap; only differences are bounded, at 0.
    if issued_at > now + limits.skew or refreshed_at > now + limits.skew:
        return NOT_YET_VALID, cookie
    if limits.max_life != 0 and max(0, now - issued_at) > limits.max_life:
        return EXPIRED_LIFE, cookie
    idle = max(0, now - refreshed_at)
    if limits.max_idle != 0 and idle > limits.max_idle:
        return EXPIRED_IDLE, cookie
    interval = limits.refresh_interval
    if ring_key.role == RETIRE or (interval != 0 and idle * 5 >= interval):
        return REFRESH_DUE, cookie
    return VALID, cookie


# ---- Writing -------------------------------------------------------------------------


def refreshed(cookie, now):
    return max(now, cookie.refreshed_at, cookie.issued_at)


# ---- Finding cookies in a request ----------------------------------------------------

BLANKS = b" \t"


def split_pair(pair):
    """(name or None, value) of the text between two semicolons."""
    if b"=" not in pair:
        return None, pair
    name, value = pair.split(b"=", 1)
    name, value = name.strip(BLANKS), value.strip(BLANKS)
    if len(value) >= 2 and value[:1] == b'"' and value[-1:] == b'"':
        value = value[1:-1]
    return name or None, value


def values_of(field, name):
    """The values of all pairs of this name in one Cookie field."""
    pairs = [split_pair(pair) for pair in field.split(b";")]
    return [value for pair_name, value in pairs if pair_name == name]


class Reading:
    """The result of a request's cookies."""

    def __init__(self, verdict, cookie, ambiguous, unknown_version):
        self.verdict = verdict
        self.cookie = cookie
        self.ambiguous = ambiguous
        self.unknown_version = unknown_version


def read_request(carrier_value, fields, ring, name, scope, key, now, limits):
    # Reading: the carrier's value is taken as it is, neither trimmed nor unquoted.
    values = [carrier_value] if carrier_value else []
    for field in fields:
        values += values_of(field, name)
    budget = TagBudget()
    results = [read_value(v, ring, name, scope, key, now, limits, budget) for v in values]
    unknown_version = any(verdict == UNKNOWN_VERSION for verdict, _ in results)
    usable = [result for result in results if result[0] in (VALID, REFRESH_DUE)]
    if not usable:
        verdict = max((verdict for verdict, _ in results), key=CHECKS.index, default=ABSENT)
        return Reading(verdict, None, False, unknown_version)
    # min() keeps the first of equals.
    verdict, cookie = min(usable, key=lambda result: (result[1].issued_at, -result[1].refreshed_at))
    ambiguous = len({result[1].id for result in usable}) > 1
    return Reading(verdict, cookie, ambiguous, unknown_version)


# ---- Removing cookies from a request -------------------------------------------------


def strip_field(field, name):
    """The field without the pairs of this name; None if it is dropped."""
    pairs = field.split(b";")
    kept = [pair for pair in pairs if split_pair(pair)[0] != name]
    if len(kept) == len(pairs):
        return field
    if all(pair.strip(BLANKS) == b"" for pair in kept):
        return None
    if split_pair(pairs[0])[0] == name:
        kept[0] = kept[0].lstrip(BLANKS)
    return b";".join(kept)


def sets_our_cookie(set_cookie, name):
    """Returns whether an upstream's Set-Cookie field has this name."""
    return split_pair(set_cookie.split(b";")[0])[0] == name


# ---- Set-Cookie ----------------------------------------------------------------------


def default_name(scope):
    if not scope:
        return b"__Host-tokenpin"
    digits = siphash24(b"tokenpin.v1.name", scope)[:4].hex()
    return b"__Host-tokenpin-" + digits.encode()


SAME_SITE_LAX, SAME_SITE_STRICT, SAME_SITE_NONE = b"Lax", b"Strict", b"None"


class Attributes:
    def __init__(self, path=b"/", domain=b"", secure=True, http_only=True, same_site=SAME_SITE_LAX, partitioned=False):
        self.path = path
        self.domain = domain
        self.secure = secure
        self.http_only = http_only
        self.same_site = same_site
        self.partitioned = partitioned

    def __repr__(self):
        return "Attributes(%s)" % ", ".join("%s=%r" % item for item in vars(self).items())


def max_age_to_write(configured, limits, age):
    """The Max-Age of a cookie that was issued `age` seconds ago; 0 for none."""
    if configured is not None:
        return configured
    # Reading: if max_life is off, the cookie's age is not subtracted from 34560000; and 34560000
    # bounds the rest of a longer max_life.
    left = max(0, limits.max_life - age) if limits.max_life != 0 else MAX_MAX_AGE
    idle = limits.max_idle if limits.max_idle != 0 else MAX_MAX_AGE
    return max(1, min(left, idle, MAX_MAX_AGE))


def set_cookie(name, value, seconds, attributes):
    parts = [name + b"=" + value, b"Path=" + attributes.path]
    if attributes.domain:
        parts.append(b"Domain=" + attributes.domain)
    if seconds != 0:
        parts.append(b"Max-Age=%d" % seconds)
    if attributes.secure:
        parts.append(b"Secure")
    if attributes.http_only:
        parts.append(b"HttpOnly")
    if attributes.same_site:
        parts.append(b"SameSite=" + attributes.same_site)
    if attributes.partitioned:
        parts.append(b"Partitioned")
    return b"; ".join(parts)


# ======================================================================================
# docs/spec/sealed-ids.md
# ======================================================================================

# ---- The native id -------------------------------------------------------------------

HEX_DIGITS = b"0123456789abcdef"


def has_id_characters(text):
    return all(byte in ALPHABET for byte in text)


def cut(text):
    """(P, H)."""
    for i, byte in enumerate(text):
        if byte in b"_-":
            return text[: i + 1], text[i + 1 :]
    return b"", text


# ---- The sealed id -------------------------------------------------------------------

USE_ID, USE_CONTENT = 0, 1


def seal_tag(ring_key, use, scope, owner, pin, native):
    key = siphash24_128(ring_key.secret, b"tokenpin.v1.sid")
    return siphash24(
        key, u8(use) + u32le(len(scope)) + scope + u32le(len(owner)) + owner + u8(ring_key.key_id) + u64le(pin) + native
    )


def seal_mask(ring_key, tag):
    return siphash24(siphash24_128(ring_key.secret, b"tokenpin.v1.sim"), tag)


def envelope_of(ring_key, use, scope, owner, pin, native):
    tag = seal_tag(ring_key, use, scope, owner, pin, native)
    return u8(ring_key.key_id) + xor(u64le(pin), seal_mask(ring_key, tag)) + tag


def is_hex(text):
    return all(byte in HEX_DIGITS for byte in text)


def is_uuid(text):
    parts = text.split(b"-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(map(is_hex, parts))


def form_of(native):
    """0, 1 or 2: the digit at the end of its sealed form."""
    prefix, rest = cut(native)
    if prefix and is_hex(rest) and 32 <= len(rest) <= 64 and len(rest) % 2 == 0:
        return 1
    if prefix and is_uuid(rest):
        return 2
    return 0


def write_sealed(native, envelope):
    form = form_of(native)
    if form == 0:
        return native + base64url(envelope) + b"tp0"
    prefix, rest = cut(native)
    packed = bytes.fromhex(rest.replace(b"-", b"").decode())
    return prefix + base64url(packed + envelope) + b"tp%d" % form


def seal_id(ring, scope, owner, id, pin):
    """The sealed id; None if it is no id."""
    verdict, _, sealed_pin = open_id(ring, scope, owner, id)
    if verdict == "sealed" and sealed_pin == pin:
        return id
    if not 1 <= len(id) <= 255 or not has_id_characters(id):
        return None
    return write_sealed(id, envelope_of(signing_key(ring), USE_ID, scope, owner, pin, id))


# ---- Opening -------------------------------------------------------------------------


def unbase64url_part(part):
    """The bytes of a part; None if base64url cannot produce the text."""
    bits = "".join("{:06b}".format(ALPHABET.index(byte)) for byte in part)
    size = len(part) * 6 // 8
    if len(part) % 4 == 1 or "1" in bits[size * 8 :]:
        return None
    return bytes(int(bits[8 * i : 8 * i + 8], 2) for i in range(size))


def recognise(text):
    """None for plain, else (digit, text in front of the part, the part's bytes)."""
    if not has_id_characters(text) or text[-3:-1] != b"tp" or text[-1] not in b"0123456789":
        return None
    digit = text[-1] - ord("0")
    if len(text) < (27 if digit == 0 else 48):
        return None
    if digit > 2:
        return digit, None, None
    front, part = (text[:-26], text[-26:-3]) if digit == 0 else cut(text[:-3])
    if digit != 0 and not front:
        return None
    data = unbase64url_part(part)
    return None if data is None else (digit, front, data)


def native_of(digit, front, data):
    """The native id; None if sealing would not produce this text."""
    packed = data[:-17]
    if len(packed) not in ((0,), range(16, 33), (16,))[digit] or len(data) < 17:
        return None
    digits = packed.hex().encode()
    if digit == 2:
        digits = b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    native = front + digits
    return native if len(native) <= 255 and form_of(native) == digit else None


def read_envelope(ring, use, scope, owner, native, envelope):
    """(verdict, pin)."""
    found = [k for k in ring if k.key_id == envelope[0]]
    if not found:
        return "unknown_key", None
    tag = envelope[9:]
    pin = number(xor(envelope[1:9], seal_mask(found[0], tag)))
    if seal_tag(found[0], use, scope, owner, pin, native) != tag:
        return "bad_seal", None
    return "sealed", pin


def open_id(ring, scope, owner, text):
    """(verdict, native, pin)."""
    recognised = recognise(text)
    if recognised is None:
        return "plain", None, None
    digit, front, data = recognised
    if digit > 2:
        return "unknown_version", None, None
    native = native_of(digit, front, data)
    if native is None:
        return "bad_seal", None, None
    verdict, pin = read_envelope(ring, USE_ID, scope, owner, native, data[-17:])
    return verdict, native if verdict == "sealed" else None, pin


# ---- Encrypted content ---------------------------------------------------------------


def mark_content(ring, scope, owner, content, pin):
    key = signing_key(ring)
    envelope = envelope_of(key, USE_CONTENT, scope, owner, pin, content[:64])
    return base64url(envelope) + b"tp0"


def open_content(ring, scope, owner, text):
    """(verdict, content, pin)."""
    content, mark = text[:-26], text[-26:]
    # Reading: the content in front of the mark may have any bytes, the mark only these.
    if not content or mark[-3:] != b"tp0" or not has_id_characters(mark):
        return "plain", None, None
    envelope = unbase64url_part(mark[:-3])
    if envelope is None:
        return "plain", None, None
    verdict, pin = read_envelope(ring, USE_CONTENT, scope, owner, content[:64], envelope)
    return verdict, content if verdict == "sealed" else None, pin


# ======================================================================================
# docs/spec/decision.md
# ======================================================================================

# ---- Configuration -------------------------------------------------------------------

FAIL_FAST, FALLBACK_AND_UPDATE, FALLBACK_WITHOUT_UPDATE = range(3)
STATELESS, STATEFUL, PROMPT_CACHE = range(3)
OFF, OPEN_MODE, SEAL, STRICT = range(4)
NO_OWNER, CONSUMER_OWNER = range(2)
AUTO, REFUSE, PLAIN = range(3)

NO_IDS, OPEN, BOTH, ITEMS = range(4)

DEFAULT_RULES = (
    [
        (pattern, STATEFUL, NO_IDS)
        for pattern in (
            b"files:register",
            b"files:upload",
            b"batch/jobs",
            b"realtime/calls",
            b"libraries",
            b"cachedContents",
            b"fileSearchStores",
            b"tunedModels",
            b"corpora",
            b"interactions",
            b"operations",
            b"models/*:batchGenerateContent",
            b"models/*:asyncBatchEmbedContent",
            b"models/*:predictLongRunning",
            b"models/*:fetchPredictOperation",
            b"endpoints/*:predictLongRunning",
            b"endpoints/*:fetchPredictOperation",
            b"generatedFiles",
            b"ragCorpora",
            b"batchPredictionJobs",
            b"tuningJobs",
            b"reasoningEngines",
            b"async-invoke",
            b"model-invocation-job",
            b"model-invocation-jobs",
            b"model-customization-jobs",
            b"tasks",
            b"contents/generations/tasks",
            b"context/create",
            b"context/chat/completions",
            b"services/aigc/*/image-synthesis",
            b"services/aigc/*/video-synthesis",
            b"services/aigc/image-generation/generation",
            b"services/aigc/background-generation/generation",
            b"services/aigc/virtualmodel/generation",
            b"services/aigc/image2image/out-painting",
            b"services/audio/asr/transcription",
            b"batchInferenceJobs",
        )
    ]
    + [
        (pattern, STATEFUL, BOTH)
        for pattern in (
            b"files",
            b"files/upload",
            b"files/import",
            b"uploads",
            b"batches",
            b"fine_tuning",
            b"fine_tuning/jobs",
            b"fine_tuning/alpha/graders/run",
            b"fine-tunes",
            b"vector_stores",
            b"assistants",
            b"threads",
            b"threads/runs",
            b"containers",
            b"skills",
            b"evals",
            b"videos",
            b"videos/generations",
            b"videos/characters",
            b"video/generations",
            b"video/generations/jobs",
            b"audio/voices",
            b"audio/voice_consents",
            b"chat/completions/*",
            b"messages/batches",
            b"agents",
            b"sessions",
            b"environments",
            b"vaults",
            b"memory_stores",
        )
    ]
    + [
        (pattern, STATEFUL, ITEMS)
        for pattern in (
            b"responses",
            b"responses/compact",
            b"responses/input_tokens",
            b"conversations",
        )
    ]
    + [(pattern, STATELESS, NO_IDS) for pattern in (b"realtime/sessions",)]
    + [
        (pattern, STATELESS, OPEN)
        for pattern in (
            b"images/generations",
            b"images/edits",
            b"images/variations",
        )
    ]
    + [
        (pattern, PROMPT_CACHE, OPEN)
        for pattern in (
            b"chat/completions",
            b"completions",
            b"messages/count_tokens",
        )
    ]
    + [(pattern, PROMPT_CACHE, BOTH) for pattern in (b"messages",)]
)

# A name follows each of these.
NAMED = (b"deployments", b"endpoints", b"engines", b"model", b"models", b"projects", b"serving-endpoints")


class Config:
    def __init__(self, slots, placement_key, ring):
        self.strategy = JUMP
        self.placement_key = placement_key
        self.ring = ring
        self.slots = slots
        self.scope = b""
        self.cookie_name = None
        self.skew = 300
        self.max_life = 2592000
        self.max_idle = 0
        self.max_age = None
        self.attributes = Attributes()
        self.policy_existing = FAIL_FAST
        self.policy_new = FALLBACK_AND_UPDATE
        self.combine_keys = False
        self.reject_bad_keys = False
        self.keyed_cookies = False
        self.mint_single = False
        self.success = (200, 299)
        self.rules = []
        self.replace_rules = False
        self.prompt_cache = False
        self.id_mode = OFF
        self.own_id_keys = []
        self.id_owner = NO_OWNER
        self.foreign_seals = AUTO
        self.encrypted_content = True
        # The name and kind of each added key.
        self.id_fields = []
        self.id_prefixes = []
        self.id_collections = []

    @property
    def id_keys(self):
        return self.own_id_keys or self.ring

    @property
    def refuses_foreign_seals(self):
        if self.foreign_seals == AUTO:
            return self.id_mode in (SEAL, STRICT)
        return self.foreign_seals == REFUSE

    @property
    def table(self):
        return self.rules + ([] if self.replace_rules else DEFAULT_RULES)

    @property
    def limits(self):
        interval = refresh_interval(self.max_life, self.max_idle, self.max_age)
        return Limits(self.skew, self.max_life, self.max_idle, interval)

    def __repr__(self):
        return "Config:\n" + "".join("    %s: %r\n" % item for item in vars(self).items())


# ---- Classification ------------------------------------------------------------------


def decoded(path):
    """Percent-encoding undone once, of every byte."""
    return re.sub(b"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), path)


def segment_fits(pattern, segment):
    if pattern.startswith(b"*"):
        return len(segment) >= len(pattern) and segment.endswith(pattern[1:])
    return segment == pattern


def classify(rules, prompt_cache, method, target):
    """(group, existing, ids)."""
    if method in (b"OPTIONS", b"TRACE"):
        return STATELESS, False, NO_IDS
    if method == b"CONNECT" and b"/" not in target:
        return STATELESS, False, NO_IDS
    path = target.split(b"?")[0].split(b"#")[0]
    absolute = re.match(b"[^/]*://[^/]*/?", path)
    if absolute:
        path = path[absolute.end() :]
    # For each segment, the number of segments to skip if it is a word that a name follows.
    segments, skips = [], []
    raw = path.split(b"/")
    for i, between in enumerate(raw):
        parts = decoded(between).split(b"/")
        segments += parts
        # Behind an unencoded slash, the name extends to the next one.
        following = decoded(raw[i + 1]).count(b"/") + 1 if i + 1 < len(raw) and raw[i + 1] else 1
        skips += [1] * (len(parts) - 1) + [following]
    reads = method in (b"GET", b"HEAD", b"DELETE")
    position = 0
    while position < len(segments):
        matches = []
        for pattern, group, ids in rules:
            wanted = pattern.split(b"/")
            there = segments[position : position + len(wanted)]
            if len(there) == len(wanted) and all(map(segment_fits, wanted, there)):
                matches.append((wanted, group, ids))
        if matches:
            wanted, group, ids = max(matches, key=lambda match: len(match[0]))
            if group == PROMPT_CACHE and reads:
                return STATEFUL, True, ids
            if group == STATELESS or group == PROMPT_CACHE and not prompt_cache:
                return STATELESS, False, ids
            below = any(segments[position + len(wanted) :])
            return group, reads or below or wanted[-1] == b"*", ids
        position += 1 + (skips[position] if segments[position] in NAMED else 0)
    # Reading: a target that matches nothing names no existing state, with any method.
    return STATELESS, False, NO_IDS


# ---- Request -------------------------------------------------------------------------


class Request:
    def __init__(self, now, entropy):
        self.group = None
        self.method = b""
        self.target = b""
        self.existing = False
        self.consumer_values = []
        self.trusted = False
        self.session_values = []
        self.cookies = []
        self.carrier_value = b""
        self.carrier = False
        self.scope = b""
        self.tried = []
        self.now = now
        self.entropy = entropy
        self.id_hint = None
        # The result of bodies_twin.Request for path, query and body.
        self.ids = None

    def __repr__(self):
        return "Request:\n" + "".join("    %s: %r\n" % item for item in vars(self).items())


class Refused(Exception):
    """One of the errors that leave everything as it was."""


SCOPE_TOO_LONG = "scope"
TRIED_OUTSIDE = "tried"
ZERO_ENTROPY = "entropy"
ZERO_ID_HINT = "id_hint"
NOW_TOO_LATE = "now"


def not_zero(sixteen_bytes, error):
    if sixteen_bytes == bytes(16):
        raise Refused(error)
    return sixteen_bytes


def id_hint(placement_key, data):
    return siphash24_128(siphash24_128(placement_key, b"tokenpin.v1.hint"), data)


# ---- Numbers -------------------------------------------------------------------------

(
    SOURCE_NONE,
    SOURCE_STATELESS,
    SOURCE_CONSUMER,
    SOURCE_SESSION,
    SOURCE_COMBINED,
    SOURCE_COOKIE,
    SOURCE_MINTED,
    SOURCE_ID,
) = range(8)
PLACED, PINNED, REPINNED, FALLBACK, RETRIED, REJECTED, NONE = range(7)
PIN_NONE, PIN_HOME, PIN_ELSEWHERE, PIN_DRAINING, PIN_DOWN, PIN_GONE = range(6)
REASON_OK, REASON_ABSENT, REASON_UNTRUSTED, REASON_SEVERAL, REASON_TOO_LONG = range(5)


# ---- Rules ---------------------------------------------------------------------------


NO_ID_KEY = 255


class SetBack:
    """The cookie to set, and its carrier."""

    def __init__(self, value, name, seconds, carrier):
        self.value = value
        self.name = name
        self.seconds = seconds
        self.carrier = carrier


class Decision:
    def __init__(self, fingerprint):
        self.slot = None
        self.source = SOURCE_NONE
        self.outcome = NONE
        self.pin_state = PIN_NONE
        self.verdict = ABSENT
        self.id_verdict = "none"
        self.id_keys = [NO_ID_KEY, NO_ID_KEY]
        self.key_reason = REASON_ABSENT
        self.ambiguous = False
        self.cookie = None
        self.existing = False
        self.may_move = False
        self.retry_after = 0
        self.fingerprint = fingerprint


def decide(config, request):
    if len(request.scope) > 1024:
        raise Refused(SCOPE_TOO_LONG)
    if any(slot >= len(config.slots) for slot in request.tried):
        raise Refused(TRIED_OUTSIDE)
    return Deciding(config, request).run()


SOURCE_OF_KIND = {CONSUMER: SOURCE_CONSUMER, SESSION: SOURCE_SESSION, COMBINED: SOURCE_COMBINED}


def read_key(values, trusted):
    """(key bytes or None, reason) of the values of one header."""
    values = [value for value in values if value]
    if not values:
        return None, REASON_ABSENT
    if not trusted:
        return None, REASON_UNTRUSTED
    if len(set(values)) > 1:
        return None, REASON_SEVERAL
    if len(values[0]) > 4096:
        return None, REASON_TOO_LONG
    return values[0], REASON_OK


def id_owner(config, request):
    """The owner of the ids: empty for none."""
    if config.id_owner == NO_OWNER:
        return b""
    return read_key(request.consumer_values, request.trusted)[0] or b""


def read_keys(config, request):
    """Rule 2: (key or None, key_reason)."""
    consumer, consumer_reason = read_key(request.consumer_values, request.trusted)
    session, session_reason = None, REASON_ABSENT
    if config.combine_keys or consumer is None:
        session, session_reason = read_key(request.session_values, True)
    if consumer is not None and session is not None:
        key = combined_key(consumer, session)
    elif consumer is not None:
        key = consumer_key(consumer)
    elif session is not None:
        key = session_key(session)
    else:
        key = None
    # Reading: an absent value is not one that could not be used.
    for reason in (consumer_reason, session_reason):
        if reason not in (REASON_OK, REASON_ABSENT):
            return key, reason
    return key, REASON_ABSENT if key is None else REASON_OK


class Deciding:
    """One run through the rules; the decision grows in self.decision."""

    def __init__(self, config, request):
        self.config = config
        self.request = request
        self.decision = Decision(fingerprint(config))
        self.scope = request.scope or config.scope
        self.name = config.cookie_name or default_name(self.scope)
        self.key = None
        self.p = None

    def select(self, key, without=None):
        excluded = set(self.request.tried)
        if without is not None:
            excluded.add(without)
        return select(
            self.config.strategy,
            self.config.slots,
            self.config.placement_key,
            self.scope,
            key,
            self.request.now,
            excluded,
        )

    def may_get_cookies(self):
        return self.key is None or self.config.keyed_cookies

    def write(self, kind, id, issued_at, refreshed_at, pin):
        """Puts a cookie into the decision, signed by the signing key."""
        config, now = self.config, self.request.now
        if now > 2**32 - 1:
            raise Refused(NOW_TOO_LATE)
        ring_key = signing_key(config.ring)
        cookie = Cookie(kind, ring_key.key_id, issued_at, refreshed_at, id, pin)
        value = encode(cookie, ring_key.secret, self.name, self.scope, self.key)
        seconds = max_age_to_write(config.max_age, config.limits, max(0, now - issued_at))
        carrier = self.request.carrier or bool(self.request.carrier_value)
        self.decision.cookie = SetBack(value, self.name, seconds, carrier)

    def run(self):
        config, request, decision = self.config, self.request, self.decision
        group = request.group
        if group is None:
            group, decision.existing, _ = classify(config.table, config.prompt_cache, request.method, request.target)
        else:
            decision.existing = request.method in (b"GET", b"HEAD", b"DELETE")
        if request.existing or request.ids is not None and request.ids.existing:
            group, decision.existing = STATEFUL, True
        account = self.account_of_ids()
        if account is not None:
            group = STATEFUL
        if decision.outcome != REJECTED:
            self.apply(group, decision.existing, account)
        self.for_the_host(group)
        return decision

    def slot_of(self, pin):
        for i, slot in enumerate(self.config.slots):
            if not slot.vacant and slot.id == pin:
                return i
        return None

    def account_of_ids(self):
        """The first half of rule 0: the pin that the ids name, or None."""
        ids, decision = self.request.ids, self.decision
        if ids is None:
            return None
        decision.id_verdict = ids.verdict
        if ids.refused or ids.unreadable:
            decision.source, decision.outcome, decision.id_keys = SOURCE_ID, REJECTED, ids.keys
            return None
        if ids.account is None:
            return None
        pin, key = ids.account
        if key == NO_ID_KEY and self.slot_of(pin) is None:
            return None
        decision.source, decision.id_keys = SOURCE_ID, [key, NO_ID_KEY]
        return pin

    def named(self, pin, reading):
        """The second half of rule 0: the named account serves, or none."""
        request, decision = self.request, self.decision
        cookie, existing = reading.cookie, decision.existing
        key = self.key
        if key is None and cookie is not None:
            key = anonymous_key(cookie.id)
        p = self.p = self.slot_of(pin)
        decision.pin_state = self.pin_state(p, key)
        if decision.pin_state in (PIN_GONE, PIN_DOWN) or p in request.tried:
            decision.outcome = REJECTED
            return
        decision.slot, decision.outcome = p, PINNED
        if cookie is not None:
            pin_is_gone = self.slot_of(cookie.pin) is None
            if pin_is_gone and not existing and self.may_get_cookies():
                self.write(cookie.kind, cookie.id, cookie.issued_at, refreshed(cookie, request.now), pin)
            else:
                self.refresh_if_due(cookie)
        elif self.may_issue(STATEFUL, reading.unknown_version) and self.may_get_cookies():
            if self.key is None and request.id_hint is not None:
                id = not_zero(request.id_hint, ZERO_ID_HINT)
            else:
                id = not_zero(request.entropy, ZERO_ENTROPY)
            kind = ANONYMOUS if self.key is None else self.key.kind
            self.write(kind, id, request.now, request.now, pin)

    def pin_state(self, p, key):
        """Rule 4. `key` is None if no key selects."""
        if p is None:
            return PIN_GONE
        state = self.config.slots[p].state_at(self.request.now)
        if state != UP:
            return PIN_DRAINING if state == DRAINING else PIN_DOWN
        # Reading: this selection is a comparison; without a candidate it does not end anything.
        return PIN_HOME if key is not None and self.select(key) == p else PIN_ELSEWHERE

    def apply(self, group, existing, account):
        """The rules up to 8, except for refusals of ids."""
        config, request, decision = self.config, self.request, self.decision

        # 1. Stateless
        if group == STATELESS:
            decision.source = SOURCE_STATELESS
            self.place(self.select(anonymous_key(not_zero(request.entropy, ZERO_ENTROPY))))
            return

        # 2. Keys
        self.key, decision.key_reason = read_keys(config, request)
        bad_key = decision.key_reason not in (REASON_OK, REASON_ABSENT)
        if config.reject_bad_keys and bad_key and account is None:
            decision.outcome = REJECTED
            return

        # 3. Cookies
        reading = read_request(
            request.carrier_value,
            request.cookies,
            config.ring,
            self.name,
            self.scope,
            self.key,
            request.now,
            config.limits,
        )
        decision.verdict = reading.verdict
        decision.ambiguous = reading.ambiguous
        if account is not None:
            self.named(account, reading)
            return
        if self.key is not None:
            decision.source = SOURCE_OF_KIND[self.key.kind]
        elif reading.cookie is not None:
            decision.source = SOURCE_COOKIE
        if reading.cookie is not None:
            self.pinned(reading.cookie, group, existing)
        else:
            self.not_pinned(group, reading.unknown_version)

    def pinned(self, cookie, group, existing):
        """Rules 4 and 5."""
        config, request, decision = self.config, self.request, self.decision
        key = self.key or anonymous_key(cookie.id)
        p = self.p = self.slot_of(cookie.pin)
        decision.pin_state = self.pin_state(p, key)

        if decision.pin_state not in (PIN_GONE, PIN_DOWN) and p not in request.tried:
            decision.slot = p
            decision.outcome = PINNED
            self.refresh_if_due(cookie)
            return

        # 5. The pin cannot serve
        if p is None:
            policy = FALLBACK_AND_UPDATE
        elif existing:
            policy = config.policy_existing
        else:
            policy = config.policy_new
        if policy == FAIL_FAST:
            decision.outcome = REJECTED
            return
        slot = self.select(key, without=p)
        if slot is None:
            return
        decision.slot = slot
        creates_state = group == STATEFUL and not existing
        if policy == FALLBACK_AND_UPDATE and creates_state and self.may_get_cookies():
            decision.outcome = REPINNED
            self.write(cookie.kind, cookie.id, cookie.issued_at, refreshed(cookie, request.now), config.slots[slot].id)
        else:
            decision.outcome = FALLBACK
            self.refresh_if_due(cookie)

    def may_issue(self, group, unknown_version):
        filled = sum(not slot.vacant for slot in self.config.slots)
        return group == STATEFUL and (filled > 1 or self.config.mint_single) and not unknown_version

    def not_pinned(self, group, unknown_version):
        """Rule 6."""
        config, request, decision = self.config, self.request, self.decision
        may_issue = self.may_issue(group, unknown_version)
        if self.key is not None:
            kind, key = self.key.kind, self.key
            issue = may_issue and config.keyed_cookies
            id = not_zero(request.entropy, ZERO_ENTROPY) if issue else None
        else:
            issue = may_issue
            if request.id_hint is not None:
                id = not_zero(request.id_hint, ZERO_ID_HINT)
            else:
                id = not_zero(request.entropy, ZERO_ENTROPY)
            kind, key = ANONYMOUS, anonymous_key(id)
            if issue:
                decision.source = SOURCE_MINTED
        slot = self.select(key)
        self.place(slot)
        if issue and slot is not None:
            self.write(kind, id, request.now, request.now, config.slots[slot].id)

    def place(self, slot):
        """Rule 7, and the end without a candidate."""
        if slot is not None:
            self.decision.slot = slot
            self.decision.outcome = RETRIED if self.request.tried else PLACED

    def refresh_if_due(self, cookie):
        """Rule 8."""
        if self.decision.verdict == REFRESH_DUE and self.may_get_cookies():
            self.write(cookie.kind, cookie.id, cookie.issued_at, refreshed(cookie, self.request.now), cookie.pin)

    def for_the_host(self, group):
        """Rule 9."""
        decision, now = self.decision, self.request.now
        if decision.outcome in (PLACED, RETRIED, REPINNED):
            keeps_cookies = self.request.carrier or decision.verdict != ABSENT
            led_back = decision.cookie is not None and keeps_cookies
            sealed = self.request.ids is not None and self.request.ids.sealed
            decision.may_move = group != STATEFUL or (not decision.existing and (sealed or led_back))
        if decision.slot is not None:
            return
        if decision.outcome == REJECTED:
            counted = [] if self.p is None else [self.p]
        else:
            counted = [
                i for i, slot in enumerate(self.config.slots) if not slot.vacant and (slot.weight > 0 or i == self.p)
            ]
        waits = []
        for slot in (self.config.slots[i] for i in counted):
            state = slot.state_at(now)
            if state in (UP, DRAINING):
                waits.append(0)
            elif slot.until != 0:
                waits.append(min(slot.until - now, 2**32 - 1))
        decision.retry_after = min(waits, default=0)


def refusal(decision):
    """The refusal of a host if no slot serves: (code, status)."""
    if decision.slot is not None:
        return "none", 200
    if decision.outcome == NONE:
        return "no_account_available", 503
    if decision.source == SOURCE_NONE:
        return "bad_affinity_key", 503
    if decision.source != SOURCE_ID or decision.pin_state not in (PIN_NONE, PIN_GONE):
        return "session_unavailable", 503
    if decision.id_verdict == "conflict":
        return "conflicting_accounts", 400
    return REFUSAL_OF_KEY.get(decision.id_keys[0], ("not_found", 404))


# By the numbers of the keys.
REFUSAL_OF_KEY = {
    6: ("previous_response_not_found", 400),
    9: ("invalid_encrypted_content", 400),
    NO_ID_KEY: ("unreadable_body", 400),
}

STALE = "stale"


def finish(config, decision, status):
    """Rule 10: STALE, None for no cookie, or (goes in the carrier header, line or bare value)."""
    if fingerprint(config) != decision.fingerprint:
        return STALE
    first, last = config.success
    if decision.cookie is None or not first <= status <= last:
        return None
    cookie = decision.cookie
    if cookie.carrier:
        return True, cookie.value
    return False, set_cookie(cookie.name, cookie.value, cookie.seconds, config.attributes)


# ---- Fingerprints --------------------------------------------------------------------


def fingerprint(config):
    message = b"tokenpin.v1.conf" + u8(config.strategy) + u8(1 if config.combine_keys else 0)
    message += u64le(len(config.slots))
    for slot in config.slots:
        message += u8(1) + u64le(0) if slot.vacant else u8(0) + u64le(slot.id)
    name = config.cookie_name or default_name(config.scope)
    message += u32le(len(config.scope)) + config.scope + u8(1 if config.cookie_name else 0)
    message += u32le(len(name)) + name
    for ring_key in sorted(config.ring, key=lambda ring_key: ring_key.key_id):
        mac_key = derived_key(ring_key.secret, b"tokenpin.v1.mac")
        message += u8(ring_key.key_id) + siphash24(mac_key, b"tokenpin.v1.conf")
    message += u8(config.id_owner)
    for ring_key in sorted(config.id_keys, key=lambda ring_key: ring_key.key_id):
        seal_key = derived_key(ring_key.secret, b"tokenpin.v1.sid")
        message += u8(ring_key.key_id) + siphash24(seal_key, b"tokenpin.v1.conf")
    return number(siphash24(config.placement_key, message))


def live_fingerprint(slots, now):
    message = b""
    for slot in slots:
        message += u8(slot.state_at(now)) + u32le(0 if slot.vacant else slot.weight)
    return number(siphash24(b"tokenpin.v1.live", message))
