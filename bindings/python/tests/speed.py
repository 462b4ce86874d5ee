"""Measures calls from Python beside itsdangerous and a jump hash in Python. Writes a table in
Markdown.
"""

import sys
import timeit

import itsdangerous
import tokenpin

KEYS = [tokenpin.CookieKey(1, b"sixteen secrets!")]


def jump_in_python(key, buckets):
    """Jump consistent hash as its paper has it, as a Python engineer writes it."""
    b, j = -1, 0
    while j < buckets:
        b = j
        key = (key * 2862933555777941757 + 1) & 0xFFFFFFFFFFFFFFFF
        j = int((b + 1) * (float(1 << 31) / float((key >> 33) + 1)))
    return b


def least(call):
    number = 500
    return min(timeit.repeat(call, number=number, repeat=300)) / number * 1e9


affinity = tokenpin.Affinity(["account-%d" % i for i in range(16)], placement_key=b"a placement key!", cookie_keys=KEYS)
decision = affinity.decide(b"POST", b"/v1/responses")
field = affinity.finish(decision, 200)[1].partition(";")[0].encode()
ring, name, now = tokenpin.KeyRing(KEYS), affinity.cookie_name().encode(), 1_800_000_000
cookie = tokenpin.Cookie("anonymous", bytes(range(16)), 7, now, now)
value = ring.encode(cookie, name=name)
ids, pin = tokenpin.IdRing(KEYS), tokenpin.identity_hash("account-a")
native = b"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"
sealed = ids.seal(native, pin)
signer = itsdangerous.TimestampSigner(b"sixteen secrets!")
payload = bytes(range(16)).hex()
signed = signer.sign(payload)
key = 0x123456789ABCDEF0
assert jump_in_python(key, 1000) == tokenpin.jump(key, 1000)
assert affinity.decide(b"GET", b"/v1/responses/resp_1", cookies=field).outcome == "pinned"

ROWS = [
    ("a decision with a cookie", lambda: affinity.decide(b"GET", b"/v1/responses/resp_1", cookies=field)),
    (
        "with a consumer's name",
        lambda: affinity.decide(b"POST", b"/v1/responses", consumer=b"alice", consumer_trusted=True),
    ),
    ("with a new cookie, and random numbers", lambda: affinity.decide(b"POST", b"/v1/responses")),
    ("`finish`, with a cookie", lambda: affinity.finish(decision, 200)),
    ("making a cookie's value", lambda: ring.encode(cookie, name=name)),
    ("the same by itsdangerous", lambda: signer.sign(payload)),
    ("reading a cookie's value", lambda: ring.decode(value, name=name, now=now)),
    ("the same by itsdangerous", lambda: signer.unsign(signed, max_age=10**9)),
    ("sealing an id", lambda: ids.seal(native, pin)),
    ("opening an id", lambda: ids.open(sealed)),
    ("jump, 1000 buckets", lambda: tokenpin.jump(key, 1000)),
    ("the same in Python", lambda: jump_in_python(key, 1000)),
]

taken = [(what, least(call)) for what, call in ROWS]
print("| call | ns |\n| --- | ---: |")
for what, ns in taken:
    print("| %s | %d |" % (what, ns))
slots = tokenpin.Slots(["account-%d" % i for i in range(16)])
hashes = list(range(1000))
print("| one key of a list of 1000 | %d |" % (least(lambda: slots.select_batch(hashes)) / 1000))
try:
    import numpy
except ImportError:
    pass
else:
    array = numpy.arange(1000, dtype=numpy.uint64)
    out = numpy.empty(1000, dtype=numpy.int32)
    print("| one key of a numpy array of 1000 | %d |" % (least(lambda: slots.select_batch(array, out=out)) / 1000))
if dict(taken)["a decision with a cookie"] > 1500:
    sys.exit("a decision with a cookie takes more than 1.5 us")
