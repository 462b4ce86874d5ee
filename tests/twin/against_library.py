"""Random and adversarial inputs: the twin's answers against those of the shared library."""

import bisect
import copy
import random

import bodies_twin as bodies
import library
import random_cases as cases
import tokenpin_twin as twin
from vector_files import KEY_REASONS, OUTCOMES, PIN_STATES, SOURCES, VERDICTS

CODES = [
    "none",
    "no_account_available",
    "bad_affinity_key",
    "session_unavailable",
    "previous_response_not_found",
    "invalid_encrypted_content",
    "not_found",
    "conflicting_accounts",
    "unreadable_body",
]

STRATEGIES = (twin.JUMP, twin.RENDEZVOUS, twin.HIGRESS)


# ---- Selection -----------------------------------------------------------------------


def unmix(x):
    """Inverts twin.mix, to reach draws that chance would not."""
    x ^= (x >> 31) ^ (x >> 62)
    x = x * pow(0x94D049BB133111EB, -1, 2**64) & twin.MASK64
    x ^= (x >> 27) ^ (x >> 54)
    x = x * pow(0xBF58476D1CE4E5B9, -1, 2**64) & twin.MASK64
    x ^= (x >> 30) ^ (x >> 60)
    return x


class CraftedSlot(twin.Slot):
    """A slot with a chosen identity hash."""

    def __init__(self, id, weight):
        super().__init__(b"crafted", weight)
        self.crafted = id

    @property
    def id(self):
        return self.crafted


def check_hashes(report, lib, rng, count):
    for _ in range(count):
        identity = cases.some_bytes(rng, rng.choice([1, 2, 7, 8, 9, 15, 16, 17, 300]))
        report.check("identity_hash", twin.identity_hash(identity), lib.identity_hash(identity), identity)
        placement_key, scope, key = (cases.not_zero_bytes(rng, 16), cases.a_scope(rng), cases.a_key(rng))
        report.check(
            "key_hash",
            twin.key_hash(placement_key, scope, key),
            lib.key_hash(placement_key, scope, key),
            placement_key,
            scope,
            key,
        )


def check_jump(report, lib, rng, count):
    for _ in range(count):
        key = rng.choice(
            [
                rng.getrandbits(64),
                rng.getrandbits(64),
                rng.getrandbits(8),
                twin.MASK64 - rng.getrandbits(8),
                1 << rng.randrange(64),
            ]
        )
        n = rng.choice(
            [rng.randint(1, 300), rng.randint(1, 2**31 - 1), 2**31 - 1 - rng.getrandbits(2), 1 << rng.randrange(31)]
        )
        report.check("jump", twin.jump(key, n), lib.jump(key, n), key, n)


def check_select_hash(report, lib, strategy, slots, made, h, key, anonymous, now, tried):
    expected = twin.select_hash(strategy, slots, h, key, anonymous, now, tried)
    actual = lib.select(strategy, made, h, key, anonymous, now, tried)
    report.check("select", expected, actual, strategy, slots, h, key, anonymous, now, tried)
    report.reach("select", "none" if actual is None else "slot")
    if actual is not None and slots[actual].state_at(now) == twin.DRAINING and anonymous:
        report.reach("last resort", strategy)
    if strategy == twin.JUMP and actual is not None:
        reach_probes(report, slots, h, anonymous, now, tried)


def reach_probes(report, slots, h, anonymous, now, tried):
    """Counts the step that settles a key under jump: which probe, or the end of the probing."""
    candidates = twin.candidates_of(slots, anonymous, now, tried)
    n, exits, turned_away = len(slots), set(), False
    for k in range(twin.PROBES):
        slot = twin.jump(h, n) if k == 0 else twin.probe(h, n, exits)
        h = twin.chain(h)
        if slot >= n:
            report.reach("settled by", "probing that ended")
            break
        if slot in candidates and h >> 48 < slots[slot].weight:
            report.reach("settled by", "probe %d" % k)
            if turned_away:
                report.reach("turned away", "then accepted")
            break
        turned_away = turned_away or slot in candidates
    else:
        report.reach("settled by", "no probe")
    for where in exits:
        report.reach("probe", where)


def check_select(report, lib, rng, count):
    for _ in range(count):
        now = cases.a_time(rng)
        slots = cases.some_slots(rng, now, largest=rng.choice([48, 48, 48, 300]))
        made = lib.slots(slots)
        for _ in range(3):
            if rng.random() < 0.5:
                i = rng.randrange(len(slots))
                if not slots[i].vacant:
                    changed = cases.a_slot(rng, i, now, 0, 0.5)
                    slots[i].weight, slots[i].state = changed.weight, changed.state
                    slots[i].until = changed.until
                    lib.set_slot(made[i], slots[i])
            strategy, anonymous = rng.choice(STRATEGIES), rng.random() < 0.5
            tried = cases.some_tried(rng, slots)
            check_select_batch(report, lib, rng, strategy, slots, made, anonymous, now, tried)
            check_select_hash(
                report, lib, strategy, slots, made, rng.getrandbits(64), cases.a_key(rng), anonymous, now, tried
            )


def check_select_batch(report, lib, rng, strategy, slots, made, anonymous, now, tried):
    if strategy == twin.HIGRESS:
        return
    hashes = [rng.getrandbits(64) for _ in range(rng.choice([0, 1, 7, 40]))]
    expected = [twin.select_hash(strategy, slots, h, None, anonymous, now, tried) for h in hashes]
    actual = lib.select_batch(strategy, made, hashes, anonymous, now, tried)
    report.check("select_batch", expected, actual, strategy, slots, hashes, anonymous, now, tried)


def check_large_fleets(report, lib, rng, count):
    """Sizes around those at which the probes change, where many slots cannot serve."""
    for number in range(count):
        now = cases.a_time(rng)
        # Few of the largest: the twin reads every slot for every key.
        slots = cases.a_large_fleet(rng, now, huge=number % 100 == 0)
        made = lib.slots(slots)
        for _ in range(6):
            strategy = rng.choice((twin.JUMP,) * 4 + STRATEGIES)
            anonymous = rng.random() < 0.5
            tried = cases.some_tried(rng, slots) if len(slots) < 2000 else []
            check_select_hash(
                report, lib, strategy, slots, made, rng.getrandbits(64), cases.a_key(rng), anonymous, now, tried
            )
        if len(slots) < 200:
            check_select_batch(report, lib, rng, strategy, slots, made, anonymous, now, tried)


def check_acceptance(report, lib, rng, count):
    """Hashes whose draw at one of the probes lies at the weight, and next to it."""
    for _ in range(count):
        n = rng.choice([1, 2, 3, 9, 63, 64, 65, 66, 128, 129, 300])
        weight = rng.choice([1, 2, 32768, 65535, 65536, rng.randint(1, 65536)])
        by = rng.choice([-2, -1, 0, 1])
        k = rng.choice([0, rng.randrange(twin.PROBES), rng.randrange(twin.PROBES)])
        h = unmix(max(0, min(65535, weight + by)) << 48 | rng.getrandbits(48)) ^ 0x9E3779B97F4A7C15
        later = [h]
        for _ in range(k):
            later.append(unmix(later[-1]) ^ 0x9E3779B97F4A7C15)
        h, *rest = reversed(later)
        places = [twin.jump(h, n)] + [twin.probe(h_k, n) for h_k in rest]
        if max(places) >= n:
            continue
        slots = [twin.Slot(b"%d" % i) for i in range(n)]
        for place in places:
            slots[place].state = twin.DOWN
        slots[places[k]].state, slots[places[k]].weight = twin.UP, weight
        check_select_hash(report, lib, twin.JUMP, slots, lib.slots(slots), h, None, True, 0, [])
        report.reach("edge at", "probe %d by %d" % (k, by))


def a_draw(rng):
    edge = rng.choice(
        [
            0,
            twin.MASK64,
            1 << rng.randrange(64),
            rng.getrandbits(64),
            rng.getrandbits(9) << 55,
            (1 << 64) - (1 << rng.randrange(64)),
        ]
    )
    return (edge + rng.choice([-2, -1, 0, 0, 1])) & twin.MASK64


def draw_of(target):
    """A draw whose L is about the target."""
    e, fraction = divmod((64 << 40) - target, 2**40)
    k = bisect.bisect_right(twin.LOG_TABLE, fraction) - 1
    f = ((fraction - twin.LOG_TABLE[k]) << 24) // (twin.LOG_TABLE[k + 1] - twin.LOG_TABLE[k])
    return (2**63 + (k << 55) + (f << 31)) >> (63 - e)


def near_tie(rng):
    """Two draws and two weights, so that one unit of either L decides."""
    best = None
    for _ in range(60):
        a, weight_a, weight_b = rng.getrandbits(64), rng.randint(1, 65536), rng.randint(1, 65536)
        target = twin.log_of_draw(a) * weight_b // weight_a
        if target >= 64 << 40:
            continue
        b = draw_of(target)
        margin = abs(twin.log_of_draw(a) * weight_b - twin.log_of_draw(b) * weight_a)
        if best is None or margin / weight_a < best[0]:
            best = margin / weight_a, [a, b], [weight_a, weight_b]
    return best[1:]


def check_draws(report, lib, rng, count):
    """Draws at the edges of L, equal ones, and pairs whose quotients tie or nearly do.

    The identity hash is written into the slot, whose structure is public, past slot_init.
    """
    for _ in range(count):
        h = rng.getrandbits(64)
        draws = [a_draw(rng) for _ in range(rng.randint(1, 4))]
        weights = [rng.choice([1, 2, 3, 65535, 65536, rng.randint(1, 65536)]) for _ in draws]
        if rng.random() < 0.5:
            # Halving r adds one to -log2; weights in the ratio of the logarithms then tie.
            bits, halvings = rng.randint(1, 30), rng.randint(1, 30)
            draws += [2 ** (64 - bits) - 1, 2 ** (64 - bits - halvings) - 1]
            unit = rng.randint(1, 1000)
            weights += [bits * unit, (bits + halvings) * unit]
        if rng.random() < 0.5:
            draws, weights = near_tie(rng)
        elif rng.random() < 0.5:
            draws += [rng.choice(draws)]
            weights += [rng.choice(weights)]
        order = rng.sample(range(len(draws)), len(draws))
        slots = [CraftedSlot(unmix(draws[i]) ^ h, weights[i]) for i in order]
        made = lib.slots(slots)
        for made_slot, slot in zip(made, slots):
            made_slot.identity_hash = slot.id
        expected = twin.weighted_rendezvous(h, slots, range(len(slots)))
        actual = lib.select(twin.RENDEZVOUS, made, h, None, True, 0, [])
        report.check("draws", expected, actual, h, [(hex(draws[i]), weights[i]) for i in order])


# ---- Cookies -------------------------------------------------------------------------


def check_cookies(report, lib, rng, count):
    for _ in range(count):
        now, scope, name = cases.a_time(rng), cases.a_scope(rng), cases.a_name(rng)
        ring = cases.a_ring(rng)
        made = lib.ring(ring, rng.choice([None, cases.not_zero_bytes(rng, 16)]))
        limits, slots = cases.some_limits(rng), cases.some_slots(rng, now)
        ids = [cases.some_bytes(rng, 16)]
        keys = [None, cases.a_key(rng), cases.a_key(rng)]
        keys = [None if key is None or key.kind == twin.ANONYMOUS else key for key in keys]
        for _ in range(6):
            key = rng.choice(keys)
            cookie = cases.a_cookie(rng, ring, slots, key, limits, now, ids)
            signing_key = twin.signing_key(ring)
            report.check(
                "encode",
                twin.encode(cookie_of(cookie, signing_key.key_id), signing_key.secret, name, scope, key),
                lib.encode(made, name, scope, key, cookie),
                ring,
                name,
                scope,
                key,
                cookie,
            )
            value = cases.encode(cookie, ring, name, scope, key)
            if rng.random() < 0.3:
                value = cases.mutated(rng, value, ring)
            if rng.random() < 0.2:
                key = cases.a_wrong_key(rng, key, [b"alice"], [b"alice"])
            if rng.random() < 0.1:
                name_read, scope_read = rng.choice([(name + b"x", scope), (name, scope + b"x")])
                name_read, scope_read = name_read[:128], scope_read[:1024]
            else:
                name_read, scope_read = name, scope
            verdict, found = twin.read_value(value, ring, name_read, scope_read, key, now, limits, twin.TagBudget())
            if found is not None:
                found = (found.kind, found.issued_at, found.refreshed_at, found.id, found.pin)
            actual = lib.decode(made, name_read, scope_read, key, limits, now, value)
            report.check("decode", (verdict, found), actual, ring, name_read, scope_read, key, limits, now, value)
            report.reach("decode", VERDICTS[actual[0]])


def cookie_of(cookie, key_id):
    """The library's encode signs with the signing key."""
    signed = copy.copy(cookie)
    signed.key_id = key_id
    return signed


def check_fields(report, lib, rng, count):
    for _ in range(count):
        name = cases.a_name(rng)
        values = [b"v", b"", b"a b", cases.some_bytes(rng, rng.randrange(12))]
        field = cases.a_field(rng, name, values)
        report.check("cookie_next", twin.values_of(field, name), lib.values_of(field, name), field, name)
        stripped = twin.strip_field(field, name)
        # The library says "dropped" with a length of 0.
        report.check("cookie_strip", stripped or b"", lib.strip_field(field, name), field, name)
        report.check(
            "set_cookie_matches", twin.sets_our_cookie(field, name), lib.sets_our_cookie(field, name), field, name
        )
        report.reach("strip", "dropped" if stripped is None else "same" if stripped == field else "shortened")


def check_set_cookie(report, lib, rng, count):
    for _ in range(count):
        name = rng.choice([b"", b"__Host-", b"__secure-", b"__hosT-"]) + cases.a_name(rng)
        name = name[:128]
        attributes = cases.some_attributes(rng, name)
        value = bytes(rng.choice(twin.ALPHABET) for _ in range(rng.choice([0, 1, 67])))
        seconds = rng.choice([0, 1, 86400, twin.MAX_MAX_AGE])
        report.check(
            "set_cookie",
            twin.set_cookie(name, value, seconds, attributes),
            lib.set_cookie(name, value, seconds, attributes),
            name,
            value,
            seconds,
            attributes,
        )
        scope = cases.a_scope(rng)
        report.check("default_name", twin.default_name(scope), lib.default_name(scope), scope)


# ---- Ids -----------------------------------------------------------------------------


def check_ids(report, lib, rng, count):
    """Single ids and marks, without an affinity."""
    for _ in range(count):
        config = twin.Config(cases.some_slots(rng, 0), bytes(16), cases.a_ring(rng))
        scope, owner = cases.a_scope(rng), rng.choice([b"", b"alice", bytes(4096)])
        made, ring = lib.id_ring(config.ring), config.ring
        writer = cases.Writer(rng, config, scope, owner)
        for _ in range(6):
            id, pin = writer.id(), writer.pin()
            report.check(
                "id_seal",
                twin.seal_id(ring, scope, owner, id, pin),
                lib.seal_id(made, scope, owner, id, pin),
                ring,
                scope,
                owner,
                id,
                pin,
            )
            verdict, native, found = twin.open_id(ring, scope, owner, id)
            report.check(
                "id_open",
                (bodies.WORSE.index(verdict), native, found),
                lib.open_id(made, scope, owner, id),
                ring,
                scope,
                owner,
                id,
            )
            report.reach("id_open", verdict)
            content = writer.content()
            verdict, opened, found = twin.open_content(ring, scope, owner, content)
            report.check(
                "id_open_mark",
                (bodies.WORSE.index(verdict), opened, found),
                lib.open_mark(made, scope, owner, content),
                ring,
                scope,
                owner,
                content,
            )
            report.reach("id_open_mark", verdict)
            report.check(
                "id_mark",
                twin.mark_content(ring, scope, owner, content, pin),
                lib.mark(made, scope, owner, content, pin),
                ring,
                scope,
                owner,
                content,
            )


def check_responses(report, lib, rng, count):
    """Whole responses, of a request without ids, in the modes that seal."""
    for _ in range(count):
        config = cases.a_config(rng, 0)
        config.id_mode = rng.choice([twin.SEAL, twin.STRICT])
        config.slots[0] = twin.Slot(b"account")
        affinity = library.Affinity(lib, config)
        scope = cases.a_scope(rng)
        rules = bodies.Rules(config, scope, b"")
        for _ in range(4):
            writer = cases.Writer(rng, config, scope, b"")
            ids, body = rng.choice([2, 3]), writer.body()
            if body[:1] == b"x":
                continue
            sealing = bodies.Sealing(rules, config.slots[0].id, bodies.IDS[ids])
            if rng.random() < 0.3:
                lines = rng.choice([b"\n", b"\r\n", b"\r"])
                body = b"".join(b"data: " + line + lines for line in body.splitlines()) + lines
                body += rng.choice([b"", b"data: [DONE]" + lines + lines, b": x" + lines])
                if body[:5] != b"data:":
                    continue
                expected = sealing.events(body)
            elif body[:1] == b":":
                # No document begins this way.
                expected = sealing.events(body)
            else:
                expected = sealing.document(body)
            chunk = rng.choice([1, 2, 3, 7, 50, 10000])
            actual = affinity.seal(scope, ids, 0, body, chunk)
            # An added mark counts as changed too.
            report.check(
                "seal", (expected, sealing.unexpected), (actual[0], actual[2]), config, scope, ids, body, chunk
            )
            report.reach("seal", "changed" if expected != body else "same")
            target = writer.target()
            report.check(
                "seal_target",
                bodies.seal_target(rules, config.slots[0].id, bodies.IDS[ids], target),
                affinity.seal_target(scope, ids, 0, target),
                config,
                scope,
                ids,
                target,
            )
        affinity.free()


# ---- Decisions -----------------------------------------------------------------------


def check_classification(report, lib, rng, count):
    for _ in range(count):
        rules = rng.choice([[], [], cases.some_rules(rng)])
        replace, prompt_cache = rng.random() < 0.2, rng.random() < 0.5
        table = rules + ([] if replace else twin.DEFAULT_RULES)
        method, target = cases.a_method(rng), cases.a_target(rng, table or twin.DEFAULT_RULES)
        expected = twin.classify(table, prompt_cache, method, target)
        actual = lib.classify(rules, replace, prompt_cache, method, target)
        report.check("classify", expected, actual, rules, replace, prompt_cache, method, target)
        report.reach("classify", "%d existing" % actual[0] if actual[1] else "%d" % actual[0])


STATUS_OF = {
    twin.SCOPE_TOO_LONG: 21,
    twin.TRIED_OUTSIDE: 27,
    twin.NOW_TOO_LATE: 42,
    twin.ZERO_ENTROPY: 43,
    twin.ZERO_ID_HINT: 43,
}
NOTHING, SET_COOKIE, CARRIER = range(3)


def library_decision(decision):
    cookie = None
    if decision.cookie:
        cookie = (bytes(decision.value), decision.max_age, bool(decision.carrier))
    return (
        None if decision.slot == library.NO_SLOT else decision.slot,
        SOURCES[decision.source],
        OUTCOMES[decision.outcome],
        PIN_STATES[decision.pin_state],
        VERDICTS[decision.verdict],
        KEY_REASONS[decision.key_reason],
        bodies.WORSE[decision.id_verdict],
        list(decision.id_keys),
        bool(decision.ambiguous),
        bool(decision.existing),
        bool(decision.may_move),
        decision.retry_after,
        decision.fingerprint,
        cookie,
    )


def twin_decision(decision):
    cookie = decision.cookie
    return (
        decision.slot,
        SOURCES[decision.source],
        OUTCOMES[decision.outcome],
        PIN_STATES[decision.pin_state],
        VERDICTS[decision.verdict],
        KEY_REASONS[decision.key_reason],
        decision.id_verdict,
        decision.id_keys,
        decision.ambiguous,
        decision.existing,
        decision.may_move,
        decision.retry_after,
        decision.fingerprint,
        cookie and (cookie.value, cookie.seconds, cookie.carrier),
    )


def twin_answer(config, decision, status):
    answer = twin.finish(config, decision, status)
    if answer == twin.STALE:
        return "status %d" % library.STALE
    if answer is None:
        return NOTHING, b""
    in_carrier, line = answer
    return (CARRIER if in_carrier else SET_COOKIE), line


def library_answer(affinity, decision, status):
    try:
        return affinity.finish(decision, status)
    except library.Failed as failed:
        return "status %d" % failed.status


class World:
    """A configuration on both sides, with keys and ids."""

    def __init__(self, report, lib, rng):
        self.report, self.rng = report, rng
        self.now = cases.a_time(rng)
        self.config = cases.a_config(rng, self.now)
        self.affinity = library.Affinity(lib, self.config)
        self.consumers = [cases.key_text(rng), b"alice"]
        self.sessions = [cases.key_text(rng), b"alice"]
        self.ids = [cases.not_zero_bytes(rng, 16) for _ in range(rng.choice([1, 3]))]
        self.kept = None

    def check_reading(self):
        """The affinity's answers about its configuration."""
        config, affinity, check = self.config, self.affinity, self.report.check
        check("fingerprint", twin.fingerprint(config), affinity.fingerprint(), config)
        check(
            "live_fingerprint",
            twin.live_fingerprint(config.slots, self.now),
            affinity.live_fingerprint(self.now),
            config,
            self.now,
        )
        i = self.rng.randrange(len(config.slots))
        slot = config.slots[i]
        if slot.vacant:
            check("get_slot", (twin.VACANT, 0), affinity.get_slot(i)[2:], config, i)
        else:
            check("get_slot", (slot.until, slot.weight, slot.state, slot.id), affinity.get_slot(i), config, i)
            check("find", i, affinity.find(slot.identity), config)
        check("find", None, affinity.find(b"nobody"), config)
        scope = cases.a_scope(self.rng)
        name = config.cookie_name or twin.default_name(scope or config.scope)
        check("cookie_name", name, affinity.cookie_name(scope), config, scope)
        of = cases.key_text(self.rng)
        check("id_hint", twin.id_hint(config.placement_key, of), affinity.id_hint(of), config, of)
        method, target = cases.a_method(self.rng), cases.a_target(self.rng, config.table or twin.DEFAULT_RULES)
        check(
            "classify",
            twin.classify(config.table, config.prompt_cache, method, target),
            affinity.classify(method, target),
            config,
            method,
            target,
        )

    def change_a_slot(self):
        i = self.rng.randrange(len(self.config.slots))
        slot = self.config.slots[i]
        if slot.vacant:
            return
        changed = cases.a_slot(self.rng, i, self.now, 0, 0.5)
        slot.weight, slot.state, slot.until = changed.weight, changed.state, changed.until
        self.affinity.set_slot(i, slot)

    def check_decision(self):
        config, report, rng = self.config, self.report, self.rng
        request = cases.a_request(rng, config, self.now, self.consumers, self.sessions, self.ids)
        summary = self.read_ids(request) if rng.random() < 0.6 else None
        try:
            decision = twin.decide(config, request)
            expected = twin_decision(decision)
        except twin.Refused as refused:
            expected = "status %d" % STATUS_OF[str(refused)]
            report.reach("refused", str(refused))
        try:
            raw = self.affinity.decide(request, summary)
            actual = library_decision(raw)
        except library.Failed as failed:
            actual = "status %d" % failed.status
        agree = report.check("decide", expected, actual, config, request)
        if not agree or isinstance(actual, str):
            return
        for group, name in zip(("source", "outcome", "pin_state", "verdict", "key_reason"), actual[1:6]):
            report.reach(group, name)
        report.reach("id_verdict", actual[6])
        report.reach("ambiguous", "yes" if actual[8] else "no")
        report.reach("cookie of", actual[2] if actual[-1] else "nothing")
        report.reach("existing", "yes" if actual[9] else "no")
        report.reach("may_move", "yes" if actual[10] else "no")
        report.reach("retry_after", "some" if actual[11] else "none")
        if actual[1] == "id":
            report.reach("state of an id", actual[3])
            report.reach("cookie beside an id", "some" if actual[-1] else "none")
        code, status = twin.refusal(decision)
        report.check("refusal", (CODES.index(code), status), self.affinity.refusal(raw), config, request)
        report.reach("refusal", code)
        first, last = config.success
        for status in (first, last, first - 1, last + 1, rng.randint(100, 599)):
            answer = library_answer(self.affinity, raw, status)
            report.check("finish", twin_answer(config, decision, status), answer, config, request, status)
            if not isinstance(answer, str):
                report.reach("answer", ("nothing", "set_cookie", "carrier")[answer[0]])
        self.kept = decision, raw, request

    def read_ids(self, request):
        """Gives a request ids, and both sides read them. Returns the library's summary."""
        config, report, rng = self.config, self.report, self.rng
        if len(request.scope) > 1024:
            return None
        writer = cases.Writer(rng, config, request.scope, twin.id_owner(config, request))
        if rng.random() < 0.6:
            request.method, request.target = b"POST", rng.choice([b"/v1/responses", b"/v1/batches"])
        else:
            request.target = writer.target()
        body = writer.body()
        api, target, opened, ids = bodies.read_request(config, request, body)
        actual = self.affinity.read_request(request, body)
        it = actual[2]
        report.check("open", (target, opened, ids.unexpected), (*actual[:2], actual[3]), config, request, body)
        report.check(
            "report",
            (
                ids.opened,
                ids.plain,
                ids.verdict,
                ids.keys,
                ids.refused,
                ids.unreadable,
                ids.existing,
                ids.sealed,
                ids.unstored,
                ids.uploads,
                ids.downloads,
                ids.quoted.ljust(64, b"\0"),
                len(ids.quoted),
            ),
            (
                it.opened,
                it.plain,
                bodies.WORSE[it.verdict],
                list(it.keys),
                bool(it.refused),
                bool(it.unreadable),
                bool(it.existing),
                bool(it.seals),
                bool(it.unstored),
                bool(it.uploads),
                bool(it.downloads),
                bytes(it.quoted),
                it.quoted_len,
            ),
            config,
            request,
            body,
        )
        report.reach("ids", api)
        report.reach("mode", bodies.MODES[config.id_mode])
        request.ids = ids
        return actual[4]

    def check_finish_elsewhere(self, other):
        """A decision of this world, finished by another."""
        if self.kept is None:
            return
        decision, raw, request = self.kept
        expected = twin_answer(other.config, decision, 200)
        self.report.check(
            "finish elsewhere", expected, library_answer(other.affinity, raw, 200), self.config, other.config, request
        )
        self.report.reach("answer", "stale" if isinstance(expected, str) else "not_stale")

    def replica(self, lib):
        """A world with the same fingerprint: roles, slot statuses, policies and times differ."""
        world = copy.copy(self)
        world.config = copy.copy(self.config)
        world.config.slots = [copy.copy(slot) for slot in self.config.slots]
        for slot in world.config.slots:
            slot.weight, slot.state = self.rng.randint(0, 65536), twin.DOWN
        world.config.ring = [copy.copy(ring_key) for ring_key in self.config.ring]
        for ring_key in world.config.ring:
            ring_key.role = twin.RETIRE
        self.rng.choice(world.config.ring).role = twin.SIGN
        world.config.skew += 1 if world.config.skew == 0 else -1
        world.config.success = (100, 599)
        world.affinity = library.Affinity(lib, world.config)
        return world


def check_decisions(report, lib, rng, count):
    worlds = max(1, count // 12)
    before = None
    for number in range(worlds):
        world = World(report, lib, rng)
        for _ in range(12):
            if rng.random() < 0.4:
                world.change_a_slot()
            world.check_decision()
        world.check_reading()
        if number % 4 == 0:
            replica = world.replica(lib)
            world.check_finish_elsewhere(replica)
            replica.affinity.free()
        if before is not None:
            world.check_finish_elsewhere(before)
            before.affinity.free()
        before = world
        if (number + 1) % max(1, worlds // 5) == 0:
            print("  %d decisions" % ((number + 1) * 12))
    before.affinity.free()


# ---- Refused configurations ----------------------------------------------------------


def ring_of(*roles):
    return [twin.RingKey(i, bytes([i + 1]) * 16, role) for i, role in enumerate(roles)]


def check_refused(report, lib):
    """One step over each bound that the text states, and the bound itself, if there is one."""
    S, A, R = twin.SIGN, twin.ACCEPT, twin.RETIRE
    one_slot = [twin.Slot(b"a")]
    two_alike = [twin.RingKey(0, bytes([9]) * 16, S), twin.RingKey(1, bytes([9]) * 16, A)]
    same_id = [twin.RingKey(5, bytes([1]) * 16, S), twin.RingKey(5, bytes([2]) * 16, A)]
    placement = bytes(range(16))
    table = [
        (0, {}),
        (30, {"placement_key": bytes(16)}),
        (28, {"slots": []}),
        (0, {"slots": [twin.Slot()]}),
        (29, {"slots": [twin.Slot(b"a"), twin.Slot(), twin.Slot(b"a")]}),
        (0, {"slots": [twin.Slot(b"a", weight=65536, until=2**45 - 1)]}),
        (24, {"slots": [twin.Slot(b"a", weight=65537)]}),
        (25, {"slots": [twin.Slot(b"a", until=2**45)]}),
        (0, {"scope": bytes(1024)}),
        (21, {"scope": bytes(1025)}),
        (0, {"cookie_name": b"n" * 128}),
        (35, {"cookie_name": b"n" * 129}),
        (0, {"cookie_name": b"!#$%&'*+-.^_`|~09azAZ"}),
        (33, {"ring": []}),
        (0, {"ring": ring_of(A, R, A, R, A, R, A, S)}),
        (33, {"ring": ring_of(A, R, A, R, A, R, A, A, S)}),
        (34, {"ring": ring_of(A, R)}),
        (34, {"ring": ring_of(S, A, S)}),
        (30, {"ring": [twin.RingKey(1, bytes(16), S)]}),
        (31, {"ring": two_alike}),
        (32, {"ring": same_id}),
        (31, {"ring": [twin.RingKey(1, placement, S)]}),
        (31, {"own_id_keys": two_alike}),
        (32, {"own_id_keys": same_id}),
        (31, {"own_id_keys": [twin.RingKey(1, placement, S)]}),
        (30, {"own_id_keys": [twin.RingKey(1, bytes(16), S)]}),
        (34, {"own_id_keys": ring_of(A, R)}),
        (34, {"own_id_keys": ring_of(S, S)}),
        # The same keys for both.
        (0, {"own_id_keys": ring_of(S)}),
        (0, {"own_id_keys": ring_of(S, A, R, A, A, A, A, A)}),
        (33, {"own_id_keys": ring_of(S, A, R, A, A, A, A, A, A)}),
        (0, {"id_fields": [(b"k" * 32, kind) for kind in bodies.KINDS if kind not in ("path", "own")]}),
        (46, {"id_fields": [(b"k" * 33, "id")]}),
        (46, {"id_fields": [(b"", "id")]}),
        (46, {"id_fields": [(b"k", "path")]}),
        (46, {"id_fields": [(b"k", "own")]}),
        (0, {"id_fields": [(b"k", "id")] * 32, "id_prefixes": [b"-"] * 32, "id_collections": [b"%"] * 32}),
        (46, {"id_fields": [(b"k", "id")] * 33}),
        (46, {"id_prefixes": [b"a"] * 33}),
        (46, {"id_prefixes": [b""]}),
        (46, {"id_prefixes": [b"a b"]}),
        (46, {"id_collections": [b"a"] * 33}),
        (46, {"id_collections": [b""]}),
        (46, {"id_collections": [b"a/b"]}),
        (0, {"max_age": 34560000}),
        (39, {"max_age": 34560001}),
    ]
    table += [
        (35, {"cookie_name": b"a" + bytes([byte]) + b"b"}) for byte in range(256) if byte not in cases.TOKEN_BYTES
    ]
    for status, name, attributes in [
        (0, b"pin", {"path": b"/" * 1024, "domain": b"d" * 1024}),
        (36, b"pin", {"path": b"/" * 1025}),
        (36, b"pin", {"domain": b"d" * 1025}),
        (36, b"pin", {"path": b"v1"}),
        (36, b"pin", {"path": b"/;"}),
        (36, b"pin", {"path": b"/\x1f"}),
        (36, b"pin", {"path": b"/\x7f"}),
        (36, b"pin", {"path": b"/\x80"}),
        (0, b"pin", {"path": b"/ ~"}),
        (36, b"pin", {"domain": b"a;b"}),
        (36, b"pin", {"domain": b"a\x00b"}),
        (0, b"pin", {"same_site": twin.SAME_SITE_NONE}),
        (38, b"pin", {"same_site": twin.SAME_SITE_NONE, "secure": False}),
        (38, b"pin", {"partitioned": True, "secure": False}),
        (0, b"pin", {"secure": False}),
        (37, b"__Secure-a", {"secure": False}),
        (37, b"__sECURE-a", {"secure": False}),
        (0, b"__Secure-a", {"path": b"/x", "domain": b"d"}),
        (37, b"__Host-a", {"secure": False}),
        (37, b"__hOsT-a", {"path": b"/x"}),
        (37, b"__HOST-a", {"domain": b"d"}),
        (37, None, {"domain": b"d"}),
        (37, None, {"secure": False}),
        (37, None, {"path": b"/x"}),
    ]:
        table.append((status, {"cookie_name": name, "attributes": twin.Attributes(**attributes)}))
    for status, changes in table:
        config = twin.Config(one_slot, placement, ring_of(S))
        for field, value in changes.items():
            setattr(config, field, value)
        try:
            library.Affinity(lib, config).free()
            actual = 0
        except library.Failed as failed:
            actual = failed.status
        report.check("configuration", status, actual, changes)


def check_bounds(report, lib):
    """Does the same for the functions, and for changes of a slot."""
    placement = bytes(range(16))
    slots = [twin.Slot(b"a"), twin.Slot()]
    made = lib.slots(slots)
    affinity = library.Affinity(lib, twin.Config(slots, placement, ring_of(twin.SIGN)))
    key = twin.consumer_key
    table = [
        (20, lib.jump, (1, 0)),
        (0, lib.jump, (1, 2**31 - 1)),
        (20, lib.jump, (1, 2**31)),
        (23, lib.identity_hash, (b"",)),
        (30, lib.key_hash, (bytes(16), b"", key(b"x"))),
        (0, lib.key_hash, (placement, bytes(1024), key(b"x"))),
        (21, lib.key_hash, (placement, bytes(1025), key(b"x"))),
        (0, lib.key_hash, (placement, b"", key(bytes(4096)))),
        (22, lib.key_hash, (placement, b"", key(bytes(4097)))),
        (22, lib.key_hash, (placement, b"", key(b""))),
        (22, lib.key_hash, (placement, b"", twin.session_key(b""))),
        (22, lib.key_hash, (placement, b"", twin.anonymous_key(bytes(15)))),
        (0, lib.key_hash, (placement, b"", twin.combined_key(bytes(4096), bytes(4096)))),
        (22, lib.key_hash, (placement, b"", twin.combined_key(b"x", b""))),
        (22, lib.key_hash, (placement, b"", twin.combined_key(b"", b"x"))),
        (22, lib.key_hash, (placement, b"", twin.combined_key(b"x", bytes(4097)))),
        (21, lib.default_name, (bytes(1025),)),
    ]
    for set_slot in (lambda i, slot: lib.set_slot(made[i], slot), affinity.set_slot):
        table += [
            (0, set_slot, (0, twin.Slot(b"a", 0, twin.DOWN, 2**45 - 1))),
            (24, set_slot, (0, twin.Slot(b"a", 65537))),
            (25, set_slot, (0, twin.Slot(b"a", until=2**45))),
            (26, set_slot, (0, twin.Slot())),
            (26, set_slot, (1, twin.Slot(b"a"))),
        ]
    table.append((27, affinity.set_slot, (2, twin.Slot())))
    for number, (status, function, arguments) in enumerate(table):
        try:
            function(*arguments)
            actual = 0
        except library.Failed as failed:
            actual = failed.status
        report.check("bounds, row %d" % number, status, actual, function.__name__, arguments)
    affinity.free()


# ---- All of it -----------------------------------------------------------------------

REFUSED = (twin.SCOPE_TOO_LONG, twin.TRIED_OUTSIDE, twin.NOW_TOO_LATE, twin.ZERO_ENTROPY, twin.ZERO_ID_HINT)


# The checks, and the number of cases of each per requested case.
CHECKS = (
    (check_hashes, 0.25),
    (check_jump, 1),
    (check_select, 0.25),
    (check_large_fleets, 0.1),
    (check_acceptance, 0.5),
    (check_draws, 1),
    (check_cookies, 0.15),
    (check_fields, 2),
    (check_set_cookie, 0.25),
    (check_classification, 2),
    (check_ids, 0.15),
    (check_responses, 0.1),
    (check_decisions, 1),
)


def check_library(report, path, count, seed):
    lib = library.Library(path)
    check_refused(report, lib)
    check_bounds(report, lib)
    for check, share in CHECKS:
        print(check.__name__)
        # Each part has separate numbers, so that it can be run without the others.
        rng = random.Random("%d %s" % (seed, check.__name__))
        check(report, lib, rng, int(count * share) + 1)
    report.check_reached("select", ("slot", "none"))
    report.check_reached(
        "settled by", ["probe %d" % k for k in range(twin.PROBES)] + ["probing that ended", "no probe"]
    )
    report.check_reached("turned away", ("then accepted",))
    report.check_reached(
        "probe",
        ("few slots", "low bits", "first draw", "low half", "high half", "low half below q", "high half below q"),
    )
    report.check_reached("edge at", ["probe %d by %d" % (k, by) for k in range(twin.PROBES) for by in (-1, 0)])
    report.check_reached("last resort", STRATEGIES)
    report.check_reached("decode", VERDICTS[1:])
    report.check_reached("strip", ("same", "shortened", "dropped"))
    report.check_reached("classify", ("0", "1", "1 existing", "2", "2 existing"))
    report.check_reached("source", SOURCES)
    report.check_reached("outcome", OUTCOMES)
    report.check_reached("pin_state", PIN_STATES)
    report.check_reached("verdict", VERDICTS)
    report.check_reached("key_reason", KEY_REASONS)
    report.check_reached("ambiguous", ("yes", "no"))
    for group in ("existing", "may_move"):
        report.check_reached(group, ("yes", "no"))
    report.check_reached("retry_after", ("some", "none"))
    report.check_reached("cookie of", ("nothing", "placed", "retried", "pinned", "repinned", "fallback"))
    report.check_reached("refused", REFUSED)
    for group in ("id_open", "id_verdict"):
        report.check_reached(
            group, [verdict for verdict in bodies.WORSE if group == "id_verdict" or verdict not in ("none", "conflict")]
        )
    report.check_reached("id_open_mark", ("plain", "sealed", "unknown_key", "bad_seal"))
    report.check_reached("ids", bodies.IDS)
    report.check_reached("mode", bodies.MODES)
    report.check_reached("refusal", CODES)
    report.check_reached("state of an id", PIN_STATES)
    report.check_reached("cookie beside an id", ("some", "none"))
    report.check_reached("answer", ("nothing", "set_cookie", "carrier", "stale", "not_stale"))
