"""Random and adversarial inputs. Edges are drawn far more often than by chance."""

import bodies_twin as bodies
import tokenpin_twin as twin

TOKEN_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"


def chance(rng, probability):
    return rng.random() < probability


def some_bytes(rng, length):
    return bytes(rng.getrandbits(8) for _ in range(length))


def not_zero_bytes(rng, length):
    return some_bytes(rng, length - 1) + twin.u8(rng.randint(1, 255))


def a_time(rng):
    if chance(rng, 0.85):
        return rng.randint(1_600_000_000, 2_000_000_000)
    if chance(rng, 0.3):
        return 2**32 + rng.randint(-2, 300)
    return rng.choice(
        [
            0,
            1,
            299,
            300,
            2**31,
            2**32 - 301,
            2**32 - 1,
            2**32,
            2**45 - 1,
            2**45,
            2**62,
            2**63,
            2**64 - 1,
            rng.getrandbits(40),
        ]
    )


def a_scope(rng):
    length = rng.choice([0, 0, 1, 2, 7, 8, 20, 1024]) if chance(rng, 0.5) else 0
    return some_bytes(rng, length)


def a_name(rng):
    length = rng.choice([1, 2, 8, 15, 30, 128])
    return bytes(rng.choice(TOKEN_BYTES) for _ in range(length))


# ---- Slots ---------------------------------------------------------------------------


def a_weight(rng):
    return rng.choice([twin.FULL_WEIGHT] * 4 + [0, 1, 2, 32768, 65535, rng.randint(0, 65536)])


def an_until(rng, now):
    until = rng.choice([0, 0, 0, now - 1, now, now + 1, 1, 2**45 - 1, rng.getrandbits(45)])
    return min(max(until, 0), 2**45 - 1)


def a_slot(rng, number, now, vacant, troubled):
    """troubled: the probability of a state other than up."""
    if chance(rng, vacant):
        return twin.Slot()
    length = rng.choice([0, 0, 1, 6, 7, 8, 60, 300])
    # The number in front makes identities unique.
    identity = b"%d" % number + (b":" + some_bytes(rng, length) if length else b"")
    state = rng.choice([twin.DRAINING, twin.DOWN]) if chance(rng, troubled) else twin.UP
    return twin.Slot(identity, a_weight(rng), state, an_until(rng, now))


def some_slots(rng, now, largest=48):
    count = rng.choice([1, 2, 2, 3, 3, 4, 5, 8, rng.randint(1, largest)])
    vacant = rng.choice([0, 0, 0.3, 0.9])
    troubled = rng.choice([0, 0.3, 0.3, 0.8, 1])
    slots = [a_slot(rng, i, now, vacant, troubled) for i in range(count)]
    if chance(rng, 0.1):
        # Nothing is up.
        for slot in slots:
            slot.until = 0
            if not slot.vacant:
                slot.state = rng.choice([twin.DRAINING, twin.DOWN])
    if chance(rng, 0.3):
        for slot in slots:
            if not slot.vacant:
                slot.weight = twin.FULL_WEIGHT
    return slots


# Sizes around those at which the probes change.
LARGE = [62, 63, 64, 64, 65, 65, 66, 127, 128, 129, 255, 256, 257, 1000]
HUGE = [4096, 16385, 65535, 65537]


def a_large_fleet(rng, now, huge):
    size = rng.choice(HUGE if huge else LARGE)
    vacant = rng.choice([0, 0, 0, 0.3, 0.9, 0.99])
    # The share of the non-vacant slots that is up.
    up = rng.choice([1, 0.75, 0.5, 0.25, 0.1, 0.02, 0])
    others = rng.choice([[twin.DOWN], [twin.DRAINING], [twin.DRAINING] + 9 * [twin.DOWN]])
    weights = rng.choice(
        [
            [twin.FULL_WEIGHT],
            [twin.FULL_WEIGHT],
            [32768],
            [1],
            [0, 1],
            [0, 1, 32768, twin.FULL_WEIGHT],
            [1, 3, 655, 6554],
        ]
    )
    untils = rng.choice([[0], [0, now, now + 1]])

    def a_slot_of_it(i):
        if chance(rng, vacant):
            return twin.Slot()
        state = twin.UP if chance(rng, up) else rng.choice(others)
        until = min(rng.choice(untils), 2**45 - 1)
        # The same identities in every fleet: the twin remembers their hashes.
        return twin.Slot(b"%d" % i, rng.choice(weights), state, until)

    return [a_slot_of_it(i) for i in range(size)]


def some_tried(rng, slots):
    if chance(rng, 0.6):
        return []
    share = rng.choice([0.1, 0.5, 1])
    tried = [i for i in range(len(slots)) if chance(rng, share)]
    rng.shuffle(tried)
    return tried + tried[:1] if chance(rng, 0.2) else tried


# ---- Keys ----------------------------------------------------------------------------


def key_text(rng):
    length = rng.choice([1, 2, 3, 7, 8, 9, 20, 255, 256, 4095, 4096] if chance(rng, 0.2) else [1, 5, 8, 12, 20])
    return some_bytes(rng, length)


def a_key(rng):
    kind = rng.randrange(4)
    if kind == twin.ANONYMOUS:
        return twin.anonymous_key(some_bytes(rng, 16))
    if kind == twin.CONSUMER:
        return twin.consumer_key(key_text(rng))
    if kind == twin.SESSION:
        return twin.session_key(key_text(rng))
    return twin.combined_key(key_text(rng), key_text(rng))


# ---- Cookies -------------------------------------------------------------------------


def a_ring(rng):
    count = rng.choice([1, 1, 2, 3, 8])
    ids = rng.sample(range(256), count)
    ring = [twin.RingKey(id, not_zero_bytes(rng, 16), rng.choice([twin.ACCEPT, twin.RETIRE])) for id in ids]
    rng.choice(ring).role = twin.SIGN
    return ring


LENGTHS = [0, 1, 5, 3600, 86400, 2592000, twin.MAX_MAX_AGE, twin.MAX_MAX_AGE + 1, 2**32 - 1]
SKEWS = [0, 1, 300, 300, 300, 2**32 - 1]


def some_limits(rng):
    return twin.Limits(rng.choice(SKEWS), rng.choice(LENGTHS), rng.choice(LENGTHS), rng.choice(LENGTHS + [4, 6, 299]))


def clock_edges(limits, now):
    """Moments at which a verdict changes, and their neighbours."""
    interval = limits.refresh_interval
    edges = [
        now,
        now + limits.skew,
        now - limits.max_life,
        now - limits.max_idle,
        now - interval // 5,
        now - interval // 5,
        0,
        2**32 - 1,
    ]
    return [edge + d for edge in edges for d in (-1, 0, 1) if 0 <= edge + d < 2**32]


def a_moment(rng, limits, now):
    if now < 2**32 - 600 and chance(rng, 0.1):
        return now + rng.randint(1, min(limits.skew, 300) + 1)
    if now < 2**32 and chance(rng, 0.6):
        return now - min(now, rng.choice([0, 1, 10, 1000, 100000]))
    return rng.choice(clock_edges(limits, now))


def a_cookie(rng, ring, slots, key, limits, now, ids):
    """A cookie for a request with this key (None: without one), usually usable."""
    issued_at = a_moment(rng, limits, now)
    refreshed_at = a_moment(rng, limits, now)
    if chance(rng, 0.7):
        issued_at, refreshed_at = min(issued_at, refreshed_at), max(issued_at, refreshed_at)
    pins = [slot.id for slot in slots if not slot.vacant]
    pin = rng.choice(pins) if pins and chance(rng, 0.85) else rng.getrandbits(64)
    kind = twin.ANONYMOUS if key is None else key.kind
    return twin.Cookie(kind, rng.choice(ring).key_id, issued_at, refreshed_at, rng.choice(ids), pin)


def encode(cookie, ring, name, scope, key):
    secret = [ring_key.secret for ring_key in ring if ring_key.key_id == cookie.key_id][0]
    return twin.encode(cookie, secret, name, scope, key)


def with_head(value, head):
    """The value with another first byte: version and kind."""
    return twin.base64url(twin.u8(head) + twin.unbase64url(value)[1:])


def mutated(rng, value, ring):
    """A value that is (usually) no longer valid."""
    choice = rng.randrange(9)
    position = rng.randrange(len(value))
    if choice == 0:
        wrong = rng.choice([b"", b"=", b"+", b"/", b" ", b"AA"])
        return value[:position] + wrong + value[position + 1 :]
    if choice == 1:
        # The trailing bits of the last character.
        last = twin.ALPHABET.index(value[-1:]) ^ rng.randint(1, 63)
        return value[:-1] + twin.ALPHABET[last : last + 1]
    if choice == 2:
        return value[:position] + bytes([rng.choice(twin.ALPHABET)]) + value[position + 1 :]
    if choice == 3:
        return value + rng.choice([b"A", b"=", b"==", b"\0"])
    if choice == 4:
        return value[: rng.choice([0, 1, 66])]
    if choice == 5:
        return with_head(
            value,
            rng.choice([0x00, 0x20, 0x21, 0x23, 0x24, 0x14, 0x1F, 0xF3, 0x13, 0x12, 0x11, 0x10, rng.getrandbits(8)]),
        )
    data = bytearray(twin.unbase64url(value))
    if choice == 6:
        data[rng.randrange(50)] ^= 1 << rng.randrange(8)
    elif choice == 7:
        data[1] = rng.choice([rng.getrandbits(8), rng.choice(ring).key_id])
    else:
        data = bytearray(some_bytes(rng, 50))
        data[0] = data[0] & 3 | 0x10
        data[1] = rng.choice(ring).key_id
    return twin.base64url(bytes(data))


# ---- Cookie fields -------------------------------------------------------------------


def blanks(rng):
    return rng.choice([b"", b"", b"", b" ", b"\t", b"  ", b" \t ", b"\n", b"\x0b"])


def a_pair(rng, name, values):
    choice = rng.randrange(10)
    value = rng.choice(values)
    if choice < 4:
        return blanks(rng) + name + blanks(rng) + b"=" + blanks(rng) + value + blanks(rng)
    if choice == 4:
        quoted = rng.choice([b'"%s"', b'"%s', b'%s"', b'" %s "', b'""%s""', b'"', b'""']).replace(b"%s", value)
        return blanks(rng) + name + b"=" + blanks(rng) + quoted + blanks(rng)
    if choice == 5:
        other = rng.choice(
            [
                name.swapcase(),
                name + b"x",
                name[:-1],
                b'"' + name + b'"',
                name[:1] + b" " + name[1:],
                b"=" + name,
                b",a=b," + name,
            ]
        )
        return blanks(rng) + other + b"=" + value
    if choice == 6:
        return rng.choice([b"", b" ", b"\t", b"\n", b"=", b" = ", b"=a=b", name, b"a", b" a "])
    return rng.choice([b" ", b""]) + rng.choice(
        [b"a=b", b"theme=dark", b"x=%41", b"q=1,2", b"e=", some_bytes(rng, rng.randrange(6))]
    )


def a_field(rng, name, values):
    count = rng.choice([0, 1, 1, 2, 2, 3, 5])
    return b";".join(a_pair(rng, name, values) for _ in range(count))


# ---- Configurations ------------------------------------------------------------------


def some_attributes(rng, name):
    """Attributes that are allowed with this configured name; None is the default name."""
    lowered = (b"__Host-" if name is None else name).lower()
    attributes = twin.Attributes()
    if not lowered.startswith(b"__host-"):
        attributes.path = rng.choice([b"/", b"/", b"/v1", b"/a b=,~", b"/" + b"p" * 1023])
        attributes.domain = rng.choice([b"", b"", b"example.com", b".x", b"d" * 1024])
        if not lowered.startswith(b"__secure-"):
            attributes.secure = chance(rng, 0.7)
    attributes.http_only = chance(rng, 0.7)
    attributes.same_site = rng.choice(
        [twin.SAME_SITE_LAX, twin.SAME_SITE_STRICT] + [twin.SAME_SITE_NONE] * attributes.secure
    )
    attributes.partitioned = attributes.secure and chance(rng, 0.3)
    return attributes


def some_rules(rng):
    segments = [b"responses", b"files", b"chat", b"completions", b"messages", b"x", b"xy", b"x.y", b"models", b"v1"]
    patterns = {
        b"/".join(
            rng.choice(segments if i == 0 else segments + [b"*", b"*:x", b"*y"])
            for i in range(rng.choice([1, 1, 2, 3]))
        )
        for _ in range(rng.randint(1, 8))
    }
    return [(pattern, rng.randrange(3), rng.randrange(4)) for pattern in sorted(patterns)]


def some_id_settings(rng, config):
    config.id_mode = rng.choice([twin.OFF, twin.OPEN_MODE, twin.SEAL, twin.SEAL, twin.STRICT])
    if chance(rng, 0.5):
        config.own_id_keys = a_ring(rng)
    config.id_owner = rng.choice([twin.NO_OWNER, twin.NO_OWNER, twin.CONSUMER_OWNER])
    config.foreign_seals = rng.choice([twin.AUTO] * 4 + [twin.REFUSE, twin.PLAIN])
    config.encrypted_content = chance(rng, 0.9)
    if chance(rng, 0.2):
        kinds = [kind for kind in bodies.KINDS if kind not in ("path", "own")]
        names = [b"thing", b"things", b"call_id", b"file_id", b"after", b"metadata", b"a.b-c"]
        config.id_fields = [(name, rng.choice(kinds)) for name in rng.sample(names, rng.randint(1, 3))]
        config.id_prefixes = rng.sample([b"thing_", b"call_", b"x"], rng.randint(0, 3))
        config.id_collections = rng.sample([b"things", b"models", b"compact"], rng.randint(0, 3))


def a_config(rng, now):
    slots = a_large_fleet(rng, now, False) if chance(rng, 0.05) else some_slots(rng, now)
    config = twin.Config(slots, not_zero_bytes(rng, 16), a_ring(rng))
    config.strategy = rng.choice([twin.JUMP, twin.JUMP, twin.RENDEZVOUS, twin.HIGRESS])
    config.scope = a_scope(rng)
    if chance(rng, 0.4):
        prefix = rng.choice([b"", b"", b"__Host-", b"__hOST-", b"__secure-"])
        config.cookie_name = (prefix + a_name(rng))[:128]
    config.skew = rng.choice(SKEWS)
    config.max_life = rng.choice([2592000] * 5 + LENGTHS)
    config.max_idle = rng.choice([0] * 20 + LENGTHS)
    config.max_age = rng.choice([None] * 6 + [0, 1, 4, 5, 6, 86400, twin.MAX_MAX_AGE])
    config.attributes = some_attributes(rng, config.cookie_name)
    config.policy_existing = rng.randrange(3)
    config.policy_new = rng.choice([0, 1, 1, 2])
    config.combine_keys = chance(rng, 0.5)
    config.reject_bad_keys = chance(rng, 0.15)
    config.keyed_cookies = chance(rng, 0.6)
    config.mint_single = chance(rng, 0.3)
    config.success = rng.choice([(200, 299), (200, 299), (200, 200), (100, 599), (201, 404)])
    config.prompt_cache = chance(rng, 0.5)
    if chance(rng, 0.3):
        config.rules = some_rules(rng)
    config.replace_rules = chance(rng, 0.2)
    some_id_settings(rng, config)
    return config


# ---- Targets -------------------------------------------------------------------------


def a_target(rng, rules):
    segments = [pattern for pattern, *_ in rules] * 2 + [
        b"v1",
        b"",
        b"x",
        b"Responses",
        b"responses2",
        b"chat",
        b"threads",
        b"runs",
        b"jobs",
        b"resp_123",
        b"cancel",
        b"?",
        b"#",
        b"?a=/responses/",
        b"#/files",
        b"responses?x",
        b"files#y",
        b"responses:list",
        b"%66iles",
        b"models",
        b"deployments",
        b"projects",
        b"a:x",
    ]
    parts = [
        rng.choice(segments).replace(b"*", rng.choice([b"", b"a", b"ab"])) for _ in range(rng.choice([1, 2, 2, 3, 4]))
    ]
    path = b"/".join(parts)
    if chance(rng, 0.2):
        path = b"".join(encoded(rng, byte) for byte in path)
    target = rng.choice([b"/", b"", b"//", b"https://h/"]) + path
    return target + rng.choice([b"", b"", b"/", b"//", b"?q=1", b"/?q"])


def encoded(rng, byte):
    """A byte of a path, percent-encoded or not, or nearly so."""
    choice = rng.randrange(12)
    if choice == 0:
        return b"%%%02x" % byte
    if choice == 1:
        return b"%%%02X" % byte
    return rng.choice([b"%", b"%2", b"%g0", b"%25"]) if choice == 2 else bytes([byte])


def a_method(rng):
    return rng.choice(
        [
            b"POST",
            b"POST",
            b"POST",
            b"GET",
            b"HEAD",
            b"DELETE",
            b"PUT",
            b"PATCH",
            b"OPTIONS",
            b"CONNECT",
            b"TRACE",
            b"get",
            b"options",
            b"",
            b"GETX",
        ]
    )


# ---- Ids -----------------------------------------------------------------------------

HEXADECIMAL = "0123456789abcdef"
ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def letters(rng, alphabet, length):
    return "".join(rng.choice(alphabet) for _ in range(length)).encode()


def a_native(rng):
    prefixes = bodies.OBJECTS + bodies.ITEMS + [b"", b"call_", b"x-y_", b"thing_", b"_"]
    choice = rng.randrange(6)
    if choice == 0:
        tail = b"-".join(letters(rng, HEXADECIMAL, length) for length in (8, 4, 4, 4, 12))
    elif choice in (1, 2):
        tail = letters(rng, HEXADECIMAL, rng.choice([32, 48, 48, 50, 30, 31, 33, 64, 66]))
    elif choice == 3 and chance(rng, 0.2):
        tail = letters(rng, ALNUM + "_-", rng.choice([0, 1, 220, 245, 250, 251, 252, 255, 256]))
    else:
        tail = letters(rng, ALNUM, rng.choice([1, 2, 22, 24, 24]))
    return rng.choice(prefixes) + tail


def an_account(rng, config):
    pins = [slot.id for slot in config.slots if not slot.vacant]
    return rng.choice(pins) if pins and chance(rng, 0.9) else rng.getrandbits(64)


class Writer:
    """Ids as a client of this scope and owner writes them, most of them of one account."""

    def __init__(self, rng, config, scope, owner):
        self.rng, self.config, self.scope, self.owner = rng, config, scope or config.scope, owner
        self.usual = an_account(rng, config)

    def pin(self):
        return self.usual if chance(self.rng, 0.85) else an_account(self.rng, self.config)

    def ring_key(self):
        rng = self.rng
        if chance(rng, 0.06):
            return twin.RingKey(rng.randrange(256), not_zero_bytes(rng, 16), twin.SIGN)
        return rng.choice(self.config.id_keys)

    def place(self):
        """The scope and the owner, sometimes others."""
        if chance(self.rng, 0.05):
            return self.rng.choice([(self.scope + b"x", self.owner), (self.scope, self.owner + b"x")])
        return self.scope, self.owner

    def id(self):
        rng, native = self.rng, a_native(self.rng)
        choice = rng.randrange(14)
        if choice < 2 or not 1 <= len(native) <= 255:
            return native
        if choice == 2 and chance(rng, 0.5):
            return rng.choice([b"", b"auto", b"a b", "é".encode(), native + b"/", b"%41" + native])
        key = self.ring_key()
        envelope = twin.envelope_of(key, twin.USE_ID, *self.place(), self.pin(), native)
        sealed = twin.write_sealed(native, envelope)
        return self.damaged(sealed) if choice == 3 else sealed

    def damaged(self, sealed):
        rng = self.rng
        at = rng.randrange(len(sealed))
        other = bytes([rng.choice(twin.ALPHABET)])
        return rng.choice(
            [
                b"x" + sealed,
                sealed + b"x",
                sealed[1:],
                sealed[:at] + other + sealed[at + 1 :],
                sealed[:-1] + rng.choice([b"0", b"1", b"2", b"3", b"9"]),
                sealed[:at] + sealed[at + 1 :],
            ]
        )

    def content(self):
        rng = self.rng
        content = letters(rng, ALNUM + "+/=", rng.choice([1, 8, 63, 64, 65, 100]))
        scope, owner = self.place()
        key = self.ring_key()
        mark = twin.base64url(twin.envelope_of(key, twin.USE_CONTENT, scope, owner, self.pin(), content[:64])) + b"tp0"
        return content + rng.choice([mark] * 6 + [b"", mark[1:], mark + b"=", self.damaged(mark)])

    # ---- Documents

    def string(self, data):
        """A string of a document, sometimes with escapes."""
        rng = self.rng
        if not chance(rng, 0.15):
            return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        out = b""
        for byte in data:
            if byte < 128 and chance(rng, 0.3) or byte in b'"\\':
                out += rng.choice([b"\\u%04x", b"\\u%04X"]) % byte
            else:
                out += b"\\/" if byte == ord("/") else bytes([byte])
        return b'"' + out + b'"'

    def blank(self):
        return self.rng.choice([b"", b"", b"", b" ", b"\n  ", b"\t"])

    def scalar(self):
        return self.rng.choice([b"null", b"true", b"false", b"12", b"-1.5e3"])

    def text(self, kind):
        rng = self.rng
        if kind == "encrypted":
            return self.string(self.content())
        if chance(rng, 0.03):
            return self.string(a_native(rng) + b"z" * rng.choice([200, 500, 520, 1000]))
        if chance(rng, 0.02):
            return b'"' + b"\\u0066" * rng.choice([84, 85, 86, 90, 200]) + b'"'
        return self.string(self.id())

    def value(self, kind, depth):
        rng = self.rng
        choice = rng.randrange(10)
        if kind in ("id", "own", "encrypted", "url") and choice < 8:
            return self.text(kind)
        if kind in ("named", "holder") and choice < 8:
            return self.text(kind) if choice < 4 else self.object(depth + 1)
        if kind in ("ids", "items", "opaque_object") and choice < 9 or depth < 3 and choice < 2:
            return self.array(kind, depth + 1)
        if depth < 4 and choice < 8:
            return self.object(depth + 1)
        return self.text(kind) if choice < 9 else self.scalar()

    def array(self, kind, depth):
        inner = "id" if kind == "ids" else None
        values = []
        for _ in range(self.rng.choice([0, 1, 1, 2, 3])):
            if kind in ("items", "opaque_object") and chance(self.rng, 0.8):
                values.append(self.element(depth + 1))
            else:
                values.append(self.value(inner, depth))
        return b"[" + b",".join(self.blank() + value + self.blank() for value in values) + b"]"

    def element(self, depth):
        """One of `input` or `items`."""
        rng = self.rng
        members = [(name, self.string(b"x")) for name in (b"type", b"status") if chance(rng, 0.5)]
        members += [(b"id", self.text("own"))] * rng.choice([0, 1, 1, 1, 2])
        if chance(rng, 0.6):
            members.append((b"content", self.value(None, depth)))
        if chance(rng, 0.2):
            members.append((b"encrypted_content", self.text("encrypted")))
        rng.shuffle(members)
        return self.members(members)

    def members(self, members):
        pairs = [
            self.blank() + self.string(name) + self.blank() + b":" + self.blank() + value for name, value in members
        ]
        return b"{" + b",".join(pairs) + self.blank() + b"}"

    def object(self, depth=1):
        rng = self.rng
        known = {**bodies.KEYS, **{name: (0, kind) for name, kind in self.config.id_fields}}
        names = (
            list(known)
            + [b"id"] * 12
            + [
                b"previous_response_id",
                b"conversation",
                b"input",
                b"file_ids",
                b"items",
                b"model",
                b"call_id",
                b"content",
            ]
        )
        members = []
        for _ in range(rng.choice([0, 1, 1, 2, 3, 5] if depth > 1 else [1, 1, 2, 3, 5])):
            name = rng.choice(names)
            _, kind = known.get(name, (None, None))
            name = name.upper() if chance(rng, 0.05) else name
            members.append((name, self.value(kind, depth)))
        if depth == 1 and chance(rng, 0.3):
            members.insert(
                rng.randrange(len(members) + 1), (b"store", rng.choice([b"false", b"false", b"true", b'"false"']))
            )
        return self.members(members)

    def body(self):
        rng = self.rng
        if chance(rng, 0.1):
            return rng.choice([b"", b" ", b"{}", b"[]", b"12", b'"x"', b"[DONE]", b"x"])
        if chance(rng, 0.35):
            # One id, and nothing else that matters.
            key = rng.choice([b"previous_response_id", b"file_id", b"input_file_id"])
            body = self.members([(b"model", b'"m"'), (key, self.string(self.id()))])
        elif chance(rng, 0.2):
            body = self.members([(b"input", b"[" + self.element(2) + b"]")])
        else:
            body = self.object()
        if chance(rng, 0.08):
            at = rng.randrange(len(body))
            return rng.choice(
                [
                    body[:at],
                    body[:at] + bytes([rng.choice(b'"{}[],:\\ x1')]) + body[at + 1 :],
                    body + rng.choice([b" ", b"{}", b"x"]),
                ]
            )
        return body

    def target(self):
        rng = self.rng
        parts = [rng.choice([b"", b"/v1", b"/openai/v1", b"https://gateway.example"])]
        for _ in range(rng.choice([1, 1, 2])):
            collection = rng.choice(bodies.COLLECTIONS + self.config.id_collections)
            if chance(rng, 0.1):
                at = rng.randrange(len(collection))
                collection = collection[:at] + b"%%%02x" % collection[at] + collection[at + 1 :]
            name = rng.choice([b"files", b"x", b"a%2fb", b""])
            parts += [b"/" + rng.choice(twin.NAMED) + b"/" + name] if chance(rng, 0.15) else []
            parts.append(rng.choice([b"/"] * 8 + [b"//", b"/x%2F/", b"/%zz/"]) + collection)
            if chance(rng, 0.8):
                parts += [b"/"] if chance(rng, 0.1) else []
                literal = rng.choice(bodies.LITERALS + [b"", b"a%2Fb", b"%2541", b"%", b"x%g1"])
                parts.append(b"/" + (literal if chance(rng, 0.1) else self.in_target()))
        parts.append(rng.choice([b"", b"", b"/content", b"/"]))
        if chance(rng, 0.3):
            names = [
                b"after",
                b"before_id",
                b"limit",
                b"run_id",
                b"conversation",
                b"file_ids",
                b"id",
                b"thing",
                b"call_id",
                b"metadata",
                b"afte%72",
                b"%61fter",
                b"afte%7",
            ]
            pairs = [
                rng.choice(names) + rng.choice([b"=", b"=", b"=", b""]) + self.in_target()
                for _ in range(rng.choice([1, 2]))
            ]
            parts.append(b"?" + b"&".join(pairs))
        parts.append(rng.choice([b"", b"", b"", b"#x"]))
        return b"".join(parts)

    def in_target(self):
        """An id, sometimes percent-encoded."""
        id = self.id()
        if not chance(self.rng, 0.2):
            return bytes(byte for byte in id if byte > 32 and byte not in b"/?#&=%")
        return b"".join(
            b"%%%02X" % byte if chance(self.rng, 0.2) else bytes([byte])
            for byte in id
            if byte > 32 and byte not in b"/?#&="
        )


# ---- Requests ------------------------------------------------------------------------


def header_values(rng, pool):
    """Values of a key header: none, one, several, empty ones, one that is too long."""
    choice = rng.randrange(12)
    if choice < 5:
        return []
    values = [rng.choice(pool)]
    if choice == 5:
        values.append(rng.choice(pool))
    elif choice == 6:
        values = [b"", values[0], b""]
    elif choice == 7:
        values = [b""]
    elif choice == 8 and chance(rng, 0.5):
        values = [bytes(4097)] + values[: rng.randrange(2)]
    return values


def a_request(rng, config, now, consumers, sessions, ids):
    request = twin.Request(now, not_zero_bytes(rng, 16))
    request.method, request.target = a_method(rng), a_target(rng, config.table or twin.DEFAULT_RULES)
    request.group = rng.choice(
        [None, twin.STATEFUL, twin.STATEFUL, twin.STATEFUL, twin.PROMPT_CACHE, rng.choice([twin.STATELESS, None])]
    )
    request.existing = chance(rng, 0.3)
    request.consumer_values = header_values(rng, consumers)
    request.session_values = header_values(rng, sessions)
    request.trusted = chance(rng, 0.75)
    if chance(rng, 0.3):
        request.scope = a_scope(rng)
    request.tried = some_tried(rng, config.slots)
    if chance(rng, 0.2):
        request.id_hint = rng.choice(ids)
    if chance(rng, 0.15):
        request.carrier = True
    some_request_cookies(rng, config, request, ids, consumers, sessions)
    some_errors(rng, config, request)
    return request


def some_request_cookies(rng, config, request, ids, consumers, sessions):
    choice = rng.randrange(10)
    if choice == 0:
        return
    scope = request.scope or config.scope
    name = config.cookie_name or twin.default_name(scope)
    key, _ = twin.read_keys(config, request)
    if chance(rng, 0.05):
        key = a_wrong_key(rng, key, consumers, sessions)
    values = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        cookie = a_cookie(rng, config.ring, config.slots, key, config.limits, request.now, ids)
        value = encode(cookie, config.ring, name, scope, key)
        values.append(mutated(rng, value, config.ring) if chance(rng, 0.25) else value)
    if choice == 1:
        request.carrier_value = rng.choice(values)
        values = values[1:]
    elif choice == 2:
        request.carrier_value = rng.choice([b" ", b'"']) + values[0]
    if choice == 3 and chance(rng, 0.4):
        values = around_the_bound(rng, value, config.ring, key) + values
    if chance(rng, 0.7):
        request.cookies = [b"; ".join(name + b"=" + value for value in values)]
        if chance(rng, 0.3):
            request.cookies.insert(rng.randrange(2), a_field(rng, name, values or [b"v"]))
    else:
        request.cookies = [a_field(rng, name, values or [b"v"]) for _ in range(rng.randrange(1, 4))]


def around_the_bound(rng, value, ring, key):
    """About 64 values with a wrong tag, among others that are refused before their tag."""
    data = twin.unbase64url(value)
    bad = twin.base64url(data[:34] + bytes(16))
    unknown = [i for i in range(256) if i not in [ring_key.key_id for ring_key in ring]]
    free = [b"v", with_head(value, 0x20), twin.base64url(data[:1] + twin.u8(rng.choice(unknown)) + data[2:])]
    if key is None:
        free.append(with_head(value, 0x11))
    values = [bad] * rng.choice([62, 63, 63, 64]) + [rng.choice(free)] * rng.randint(0, 5)
    rng.shuffle(values)
    return values


def a_wrong_key(rng, key, consumers, sessions):
    """Another key than the request's, sometimes with the same bytes under another kind."""
    if key is not None and len(key.data) <= 4096 and chance(rng, 0.5):
        return twin.Key(rng.choice([twin.CONSUMER, twin.SESSION]), key.data)
    return rng.choice([None, twin.consumer_key(rng.choice(consumers)), twin.session_key(rng.choice(sessions))])


def some_errors(rng, config, request):
    """Sometimes a value that is refused, or would be if it were needed."""
    choice = rng.randrange(60)
    if choice == 0:
        request.scope = bytes(1025)
    elif choice == 1:
        request.tried = request.tried + [len(config.slots) + rng.choice([0, 1, 2**31])]
    elif choice in (2, 3, 4):
        request.entropy = bytes(16)
    elif choice in (5, 6):
        request.id_hint = bytes(16)
