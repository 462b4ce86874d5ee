"""Prints cookie values, or with `ids` sealed ids, whose tags are wrong in only one byte. Only
a holder of the keys can make them.

A changed tag in a valid cookie unmasks another pin, for which another tag is expected: all of its
bytes are wrong then, and a comparison that stops early always stops immediately. So here the pin is
masked again with the changed tag. The key ring, name and scope are those of dudect.c.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "twin"))
import tokenpin_twin as twin

SECRET = b"a cookie secret!"
NAME = b"__Host-tokenpin"
VALUES = 3000
SEED = 20261125


def main():
    rng = random.Random(SEED)
    for _ in range(VALUES):
        if sys.argv[1:] == ["ids"]:
            sealed_ids(rng)
            continue
        head = bytes([0x10, 1]) + twin.u32be(1800000000) * 2 + rng.randbytes(16)
        pin = rng.getrandbits(64)
        tag = twin.cookie_tag(SECRET, NAME, b"", head, pin, None)
        error = rng.randrange(1, 256)
        for wrong in near(rng, tag, error):
            masked = twin.xor(twin.u64le(pin), twin.pin_mask(SECRET, wrong))
            print(twin.base64url(head + masked + wrong).decode())


def near(rng, tag, error):
    return bytes([tag[0] ^ error]) + tag[1:], tag[:-1] + bytes([tag[-1] ^ error]), rng.randbytes(len(tag))


def sealed_ids(rng):
    key = twin.RingKey(1, SECRET, twin.SIGN)
    native = b"file-" + rng.randbytes(11).hex().encode()
    pin = rng.getrandbits(64)
    tag = twin.seal_tag(key, twin.USE_ID, b"", b"", pin, native)
    # All three end in the same character, because the reader of the text looks at its class.
    first, last, other = near(rng, tag, rng.randrange(1, 16) << 4)
    other = other[:-1] + bytes([other[-1] & 0xF0 | tag[-1] & 0x0F])
    for wrong in (first, last, other):
        masked = twin.xor(twin.u64le(pin), twin.seal_mask(key, wrong))
        print(twin.write_sealed(native, twin.u8(1) + masked + wrong).decode())


main()
