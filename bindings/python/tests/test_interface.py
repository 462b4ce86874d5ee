"""Tests of the interface: errors, wrong types, handles, threads, forks, memory."""

import array
import gc
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc

import pytest
import tokenpin
from tokenpin import Affinity, CookieKey, Error, IdRing, Key, KeyRing, Slots

KEYS = [CookieKey(1, b"sixteen secrets!")]
PLACEMENT = b"a placement key!"


def build(slots=("account-a", "account-b", "account-c"), **options):
    return Affinity(slots, placement_key=PLACEMENT, cookie_keys=KEYS, **options)


def cookie_of(affinity, decision):
    """The `Cookie` field of a client that got this decision's cookie."""
    _, line = affinity.finish(decision, 200)
    return line.partition(";")[0]


def test_a_session_stays_where_its_cookie_says():
    affinity = build()
    first = affinity.decide("POST", "/v1/responses")
    assert (first.source, first.outcome, first.sets_cookie) == ("minted", "placed", True)
    cookie = cookie_of(affinity, first)
    for given in (cookie, cookie.encode(), ["theme=dark", cookie], (cookie,)):
        decision = affinity.decide("GET", "/v1/responses/resp_1", cookies=given)
        assert (decision.slot, decision.outcome, decision.verdict) == (first.slot, "pinned", "valid")


def test_values_are_str_and_members_too():
    decision = build().decide("POST", "/v1/responses")
    assert decision.outcome is tokenpin.Outcome.PLACED
    assert decision.outcome == "placed"
    assert "%s" % decision.outcome == "placed"
    assert decision.outcome.number == 0
    assert tokenpin.Outcome.PLACED.__doc__.startswith("Selection")
    assert len({decision.outcome: 1, "placed": 2}) == 1


def test_errors_have_the_status_name_and_text():
    with pytest.raises(tokenpin.ConfigError) as raised:
        build(["a", "b", "a"])
    error = raised.value
    assert (error.status, error.field, error.index) == ("duplicate_identity", "slots", 2)
    assert str(error) == "slots[2]: duplicate_identity: two slots have the same identity"
    assert isinstance(error, Error) and isinstance(error, ValueError)
    with pytest.raises(Error) as raised:
        build().decide("POST", "/v1/responses", tried=[7])
    assert str(raised.value) == "slot_range: the slot number is not below the capacity"
    assert not isinstance(raised.value, tokenpin.ConfigError)
    for error in (raised.value, error):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_word_that_is_none_names_those_that_are():
    with pytest.raises(Error, match="Strategy must be one of jump, rendezvous") as raised:
        build(strategy="sk-secret")
    assert raised.value.status is tokenpin.Status.BAD_ENUM
    assert "sk-" not in str(raised.value)
    with pytest.raises(Error, match="Group must be one of"):
        build().decide(group=tokenpin.Outcome.PINNED)


def test_a_finish_elsewhere_is_stale():
    decision = build().decide("POST", "/v1/responses")
    with pytest.raises(Error) as raised:
        build(["account-b", "account-a"]).finish(decision, 200)
    assert raised.value.status == "stale"


@pytest.mark.parametrize(
    "call",
    [
        lambda it: it.decide(7, "/v1/responses"),
        lambda it: it.decide("POST", None),
        lambda it: it.decide("POST", "/", cookies=7),
        lambda it: it.decide("POST", "/", cookies=[7]),
        lambda it: it.decide("POST", "/", cookies=[None]),
        lambda it: it.decide("POST", "/", consumer={"a": 1}),
        lambda it: it.decide("POST", "/", now="later"),
        lambda it: it.decide("POST", "/", now=1.5),
        lambda it: it.decide("POST", "/", entropy="sixteen letters!"),
        lambda it: it.decide("POST", "/", tried=3),
        lambda it: it.decide("POST", "/", tried=["x"]),
        lambda it: it.decide("POST", "/", ids=object()),
        lambda it: it.decide("POST", "/", no_such_word=1),
        lambda it: it.decide("POST", "/", bytearray(b"x")),
        lambda it: it.finish(None, 200),
        lambda it: it.finish(it.decide("POST", "/"), "200"),
        lambda it: it.set_slot(0, "down"),
        lambda it: it.set_slot(0, ("down", "heavy", 0)),
        lambda it: it.set_slot("a", ("down", 1, 0)),
        lambda it: it.find(3),
        lambda it: it.opener("/", "both").push("text"),
        lambda it: it.opener("/", "both").rewrite(7),
        lambda it: list(it.opener("/", "both").rewrite(["text"])),
        lambda it: it.sealer(0),
        lambda it: build(7),
        lambda it: build([7]),
        lambda it: build([("a", "up", 1, 0, 0)]),
        lambda it: build([()]),
        lambda it: build(rules=["files"]),
        lambda it: build(rules=[("files",)]),
        lambda it: build(success=200),
        lambda it: Affinity(["a"], placement_key=PLACEMENT, cookie_keys=[b"secret"]),
        lambda it: Affinity(["a"], placement_key="a placement key!", cookie_keys=KEYS),
        lambda it: Affinity(["a"], cookie_keys=KEYS),
        lambda it: CookieKey(1, "sixteen letters!"),
        lambda it: CookieKey("1", bytes(16)),
        lambda it: KeyRing(3),
        lambda it: Key.consumer(3),
        lambda it: Key(),
        lambda it: tokenpin.Decision(),
        lambda it: tokenpin.jump("1", 1),
        lambda it: tokenpin.key_hash(PLACEMENT, "alice"),
    ],
)
def test_wrong_types_are_told(call):
    affinity = build()
    before = affinity.live_fingerprint(0)
    with pytest.raises(TypeError):
        call(affinity)
    assert affinity.live_fingerprint(0) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda it: it.decide("POST", "/", now=-1),
        lambda it: it.decide("POST", "/", tried=[-1]),
        lambda it: it.finish(it.decide("POST", "/"), 65536),
        lambda it: it.set_slot(0, ("down", -1, 0)),
        lambda it: it.set_slot(2**32, ("down", 1, 0)),
        lambda it: CookieKey(256, bytes(16)),
        lambda it: tokenpin.jump(2**64, 1),
    ],
)
def test_numbers_out_of_range_are_told(call):
    with pytest.raises(OverflowError):
        call(build())


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_sixteen_bytes_are_sixteen(length):
    for call in (
        lambda: CookieKey(1, bytes(length)),
        lambda: Affinity(["a"], placement_key=bytes(length), cookie_keys=KEYS),
        lambda: build().decide(entropy=bytes(length)),
        lambda: build().decide(id_hint=bytes(length)),
    ):
        with pytest.raises(ValueError, match="16 bytes, not %d" % length):
            call()


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(UnicodeEncodeError):
        build().decide("POST", "/\udc80")


def test_a_closed_affinity_says_so():
    with build() as affinity:
        decision = affinity.decide("POST", "/v1/responses")
        sealer = affinity.sealer(0, ids="both", mode="seal")
    for call in (
        lambda: affinity.decide("POST", "/"),
        lambda: affinity.finish(decision, 200),
        lambda: len(affinity),
        lambda: affinity.fingerprint,
        lambda: affinity.set_slot(0, ("up", 1, 0)),
        lambda: affinity.get_slot(0),
        lambda: affinity.opener("/", "both"),
        lambda: affinity.classify("GET", "/"),
        lambda: affinity.cookie_name(),
        lambda: affinity.sealer(0, ids="both"),
    ):
        with pytest.raises(Error) as raised:
            call()
        assert raised.value.status == "not_initialised"
    assert "closed" in repr(affinity)
    affinity.close()
    # A request under way ends with the affinity that it began with.
    assert b"tp0" in sealer.body(b'{"id":"resp_1"}')


def test_a_body_ends_once():
    affinity = build()
    for it in (affinity.opener("/v1/responses", "items"), affinity.sealer(0, ids="items")):
        assert b"".join(it.rewrite([b"{", b"}"])) == b"{}"
        for call in (lambda: it.push(b"x"), it.finish, lambda: it.body(b"x")):
            with pytest.raises(ValueError, match="has ended"):
                call()


def test_the_generator_raises_what_its_chunks_raise_and_goes_on():
    sealer = build(id_mode="seal").sealer(0, ids="both")

    def chunks():
        yield b'{"id":"re'
        raise OSError("reset")

    rewriting = sealer.rewrite(chunks())
    assert next(rewriting) == b'{"id":"'
    with pytest.raises(OSError, match="reset"):
        next(rewriting)
    assert iter(rewriting) is rewriting


def test_a_chunk_that_stays_as_it_is_is_not_copied():
    affinity = build(id_mode="seal")
    body = b'{"text":"' + b"x" * 10000 + b'"}'
    assert affinity.sealer(0, ids="both").body(body) is body
    assert affinity.opener("/v1/files", "both").push(body) is body
    field = "theme=dark"
    assert tokenpin.cookie_strip(field, "pin") is field


def test_a_whole_exchange_with_sealed_ids():
    affinity = build(id_mode="seal")
    decision = affinity.decide("POST", "/v1/responses")
    opener = affinity.opener("/v1/responses", "items")
    opener.finish()
    sealer = affinity.sealer(decision.slot, opener, events=True)
    native = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"
    stream = (b'event: response.created\ndata: {"response":{"id":"%s"}}\n\n' % native.encode() * 3,)
    out = b"".join(sealer.rewrite(stream))
    sealed = out.split(b'"id":"')[1].split(b'"')[0].decode()
    assert native not in out.decode() and sealed.endswith("tp1") and sealer.changed == 3
    # Another replica, another client without a cookie.
    for target, body in (
        ("/v1/responses/" + sealed, b""),
        ("/v1/responses", b'{"previous_response_id":"%s"}' % sealed.encode()),
    ):
        other = build(id_mode="seal")
        opener = other.opener(target, "items")
        opened = b"".join(opener.rewrite([body[:30], body[30:]]))
        assert native in opener.target + opened.decode()
        again = other.decide("POST", target, ids=opener)
        assert (again.slot, again.source) == (decision.slot, "id")
        other.set_slot(decision.slot, ("down", 65536, 0))
        refused = other.decide("POST", target, ids=opener)
        assert (refused.slot, refused.refusal, refused.refusal_status) == (None, "session_unavailable", 503)


def test_secrets_and_persons_are_not_shown():
    affinity = build(keyed_cookies=True)
    decision = affinity.decide("POST", "/v1/responses", consumer="alice", consumer_trusted=True)
    ring = KeyRing(KEYS)
    _, cookie = ring.decode(
        decision.cookie_value,
        name=affinity.cookie_name(),
        now=decision.fingerprint >> 40,
        key=Key.consumer("alice"),
        skew=2**32 - 1,
    )
    verdict, opened = IdRing(KEYS).open(IdRing(KEYS).seal("resp_1", 123456789))
    assert verdict == "sealed"
    shown = "".join(
        map(
            repr,
            (
                affinity,
                decision,
                KEYS[0],
                ring,
                cookie,
                opened,
                Key.consumer("alice"),
                Key.combined("alice", "alice"),
                IdRing(KEYS),
            ),
        )
    )
    for secret in ("secrets", "alice", decision.cookie_value, "123456789", str(cookie.pin), cookie.id.hex()):
        assert secret not in shown
    assert "resp_1" in shown
    assert "secrets" not in str(KEYS[0]) and not hasattr(KEYS[0], "secret")
    with pytest.raises(TypeError):
        pickle.dumps(KEYS[0])


def test_slots_are_seen_at_once_by_all_threads():
    affinity, errors, stop = build(), [], threading.Event()
    field = cookie_of(affinity, affinity.decide("POST", "/v1/responses"))

    def decides():
        try:
            while not stop.is_set():
                slot = affinity.decide("POST", "/v1/responses", cookies=field).slot
                if slot not in (0, 1, 2, None):
                    raise AssertionError(slot)
                Slots(["a", "b"]).select_batch(list(range(100)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=decides) for _ in range(8)]
    for thread in threads:
        thread.start()
    for turn in range(300):
        for slot in range(3):
            affinity.set_slot(slot, ("down" if (turn + slot) % 2 else "up", 65536, 0))
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors


def test_closing_among_threads_disturbs_nobody():
    for _ in range(20):
        affinity, seen = build(), []

        def decides(affinity=affinity, seen=seen):
            try:
                while True:
                    affinity.decide("POST", "/v1/responses")
            except Error as error:
                seen.append(error.status)

        threads = [threading.Thread(target=decides) for _ in range(4)]
        for thread in threads:
            thread.start()
        affinity.close()
        for thread in threads:
            thread.join()
        assert seen == ["not_initialised"] * 4


def test_errors_and_closing_among_threads_wait_for_nobody():
    program = """
import sys, threading
from tokenpin import Affinity, CookieKey, Error

sys.setswitchinterval(1e-6)

def raises(affinity):
    try:
        while True:
            try:
                affinity.decide("POST", "/v1/responses", tried=[9])
            except Error as error:
                if error.status != "slot_range":
                    raise
    except Error as error:
        assert error.status == "not_initialised"

for _ in range(100):
    affinity = Affinity(["a", "b"], placement_key=b"a placement key!", cookie_keys=[CookieKey(1, b"sixteen secrets!")])
    threads = [threading.Thread(target=raises, args=(affinity,), daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    affinity.close()
    for thread in threads:
        thread.join()
"""
    # A separate process: what waits forever there cannot be interrupted.
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_chunks_that_come_back_when_they_are_let_go_of_end():
    program = """
from tokenpin import Affinity, CookieKey

class Chunks:
    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def __del__(self):
        assert list(rewriting) == []

affinity = Affinity(["a"], placement_key=b"a placement key!", cookie_keys=[CookieKey(1, b"sixteen secrets!")])
rewriting = affinity.sealer(0, ids="both").rewrite(Chunks())
assert list(rewriting) == []
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_shares_the_mapping_and_not_the_random_numbers():
    affinity = build()
    field = cookie_of(affinity, affinity.decide("POST", "/v1/responses"))
    values = []
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                new = affinity.decide("POST", "/v1/responses").cookie_value
                old = affinity.decide("POST", "/v1/responses", cookies=field)
                os.write(writing, ("%s %s %s" % (new, old.slot, old.outcome)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            values.append(pipe.read().split())
        os.waitpid(child, 0)
    values.append([affinity.decide("POST", "/v1/responses").cookie_value])
    slot = str(affinity.decide("POST", "/v1/responses", cookies=field).slot)
    assert [rest for _, *rest in values[:3]] == [[slot, "pinned"]] * 3
    assert len({value for value, *_ in values}) == 4


def test_nothing_is_left_behind_but_the_decision():
    affinity = build()
    field = cookie_of(affinity, affinity.decide("POST", "/v1/responses")).encode()

    def once():
        decision = affinity.decide(b"GET", b"/v1/responses/resp_1", cookies=field)
        assert decision.outcome == "pinned"
        affinity.finish(decision, 200)

    once()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    counts = gc.get_count()
    for _ in range(1000):
        once()
    after = tracemalloc.take_snapshot()
    grown = sum(line.size_diff for line in after.compare_to(before, "filename"))
    tracemalloc.stop()
    assert grown < 20000
    # No object that the collector of cycles would have to look at.
    assert abs(gc.get_count()[0] - counts[0]) < 200


def test_memory_of_many_affinities_and_bodies_is_given_back():
    program = """
import resource, tokenpin
keys = [tokenpin.CookieKey(1, b'sixteen secrets!')]
def once():
    it = tokenpin.Affinity(['a%d' % i for i in range(1000)], placement_key=b'a placement key!', cookie_keys=keys)
    sealer = it.sealer(0, ids='both', mode='seal')
    assert len(b''.join(sealer.rewrite([b'{"id":"resp_1"}'] * 100))) > 0
def used():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * resource.getpagesize()
for _ in range(200):
    once()
before = used()
for _ in range(2000):
    once()
print(used() - before)
"""
    grown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # Each affinity has 24 kB.
    assert int(grown.stdout) < 8 << 20


class TestBatches:
    hashes = [(number * 0x9E3779B97F4A7C15) & (2**64 - 1) for number in range(1000)]
    slots = Slots(["a", "b", None, ("c", "down"), ("d", "up", 1000)])

    def test_a_list_gives_a_list(self):
        expected = [self.slots.select(h) for h in self.hashes]
        assert self.slots.select_batch(self.hashes) == expected
        assert self.slots.select_batch(tuple(self.hashes)) == expected
        assert self.slots.select_batch(array.array("Q", self.hashes)) == expected
        assert Slots([None]).select_batch(self.hashes[:2]) == [None, None]

    @pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 1000])
    @pytest.mark.parametrize("strategy", ["jump", "rendezvous"])
    def test_an_array_gives_an_array(self, length, strategy):
        numpy = pytest.importorskip("numpy")
        hashes = numpy.array(self.hashes[:length], dtype=numpy.uint64)
        expected = [self.slots.select(h, strategy=strategy) for h in self.hashes[:length]]
        made = self.slots.select_batch(hashes, strategy=strategy)
        assert made.dtype == numpy.int32 and made.tolist() == expected
        out = numpy.full(length, 77, dtype=numpy.int32)
        assert self.slots.select_batch(hashes, strategy=strategy, out=out) is out
        assert out.tolist() == expected
        # A part of a larger one, in place.
        large = numpy.full(length + 2, 77, dtype=numpy.int32)
        self.slots.select_batch(hashes, strategy=strategy, out=large[1:-1])
        assert large.tolist() == [77, *expected, 77]

    def test_no_slot_is_minus_one(self):
        numpy = pytest.importorskip("numpy")
        hashes = numpy.array(self.hashes, dtype=numpy.uint64)
        assert set(Slots([None, ("a", "down")]).select_batch(hashes).tolist()) == {-1}

    def test_what_is_no_such_array_is_refused_and_not_written(self):
        numpy = pytest.importorskip("numpy")
        hashes = numpy.array(self.hashes, dtype=numpy.uint64)
        read_only = numpy.zeros(1000, dtype=numpy.int32)
        read_only.flags.writeable = False
        unaligned = numpy.zeros(8001, dtype=numpy.uint8)[1:].view(numpy.uint64)
        for bad in (
            hashes.astype(numpy.int64),
            hashes.astype(numpy.float64),
            hashes[::2],
            hashes[::-1],
            hashes.reshape(10, 100),
            hashes.astype(">u8"),
            numpy.array(5, dtype=numpy.uint64),
            unaligned,
        ):
            with pytest.raises(TypeError, match="hashes is a contiguous array of one dimension, of uint64"):
                self.slots.select_batch(bad)
        out = numpy.zeros(1000, dtype=numpy.int32)
        for bad in (
            out.astype(numpy.uint32),
            out.astype(numpy.int64),
            numpy.zeros(2000, numpy.int32)[::2],
            read_only,
            [0] * 1000,
        ):
            with pytest.raises(TypeError, match="out is a"):
                self.slots.select_batch(hashes, out=bad)
        with pytest.raises(ValueError, match="as long"):
            self.slots.select_batch(hashes, out=out[:-1])
        with pytest.raises(Error):
            self.slots.select_batch(hashes, strategy="higress_fnv1a_modulo", out=out)
        with pytest.raises(TypeError):
            self.slots.select_batch(self.hashes, out=out)
        assert not out.any()

    def test_the_interface_needs_no_numpy(self):
        program = (
            "import sys; sys.modules['numpy'] = None; import tokenpin; "
            "assert tokenpin.Slots(['a']).select_batch([1, 2]) == [0, 0]"
        )
        subprocess.run([sys.executable, "-c", program], check=True)
