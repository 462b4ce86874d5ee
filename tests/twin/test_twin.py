"""Checks the twin against published vectors, worked examples, vector files, and the library.

python3 tests/twin/test_twin.py [--library build/lib/libtokenpin.so] [--cases N] [--seed S]
"""

import argparse
import csv
import os
import sys

import tokenpin_twin as twin
from against_library import check_library
from report import Report
from vector_files import check_vector_files

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VECTORS = os.path.join(ROOT, "tests", "vectors")


# ---- Published vectors ---------------------------------------------------------------


def rows(name):
    with open(os.path.join(VECTORS, name), newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def check_published(report):
    key = bytes(range(16))
    for name, c, d, size in (
        ("siphash13_64_generated_refC.csv", 1, 3, 8),
        ("siphash13_64_rust-siphash.csv", 1, 3, 8),
        ("siphash13_128_generated_refC.csv", 1, 3, 16),
        ("siphash24_64.csv", 2, 4, 8),
        ("siphash24_128.csv", 2, 4, 16),
    ):
        for row in rows(name):
            output = twin.siphash(c, d, key, bytes.fromhex(row["message_hex"]), size)
            report.check(name, output.hex(), row["output_hex"], row)
    for name in sorted(os.listdir(VECTORS)):
        if name.startswith("jump_"):
            for row in rows(name):
                bucket = row["reference_f64" if "reference_f64" in row else "bucket"]
                report.check(name, twin.jump(int(row["key"]), int(row["n"])), int(bucket), row)
    for row in rows("pipeline_rust_jumphash_sip13_key0.csv"):
        h = twin.number(twin.siphash13(bytes(16), row["str"].encode() + b"\xff"))
        report.check("pipeline", twin.jump(h, int(row["n"])), int(row["bucket"]), row)


def check_claims(report):
    """Figures that the text states."""
    table = twin.LOG_TABLE
    stated = {0: 0, 1: 6184257240, 128: 643173071356, 255: 1096410434271, 256: 2**40}
    for j, entry in stated.items():
        report.check("T[%d]" % j, table[j], entry)
    ties = [abs(twin.scaled_log2(j) % 2**24 - 2**23) / 2**24 for j in range(257)]
    report.check("distance to a rounding tie", min(ties) >= 0.0016, True, min(ties))
    for text, value in (("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)):
        report.check("fnv1a32", twin.fnv1a32(text.encode()), value, text)


# ---- Worked examples -----------------------------------------------------------------


def example_lines(page):
    """The lines between the marks of a page's worked example, as lists of words."""
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        text = file.read()
    return [line.split() for line in text.split("<!-- worked example")[1].splitlines()]


def check_selection_example(report):
    lines = example_lines("spec/selection.md")
    placement_key = bytes(range(16))
    slots = [twin.Slot(b"account-" + letter) for letter in (b"a", b"b", b"c")]
    lighter = slots[:2] + [twin.Slot(b"account-c", 16384)]
    expected = [[slot.identity.decode(), "%016x" % slot.id] for slot in slots]
    for name in ("alice", "bob", "carol", "dave", "erin", "frank"):
        key = twin.consumer_key(name.encode())
        h = twin.key_hash(placement_key, b"", key)
        accept = twin.chain(h) >> 48
        serves = [twin.select(twin.JUMP, s, placement_key, b"", key, 0) for s in (slots, lighter)]
        expected.append([name, "%016x" % h] + [str(n) for n in [twin.jump(h, 3), accept] + serves])
        if twin.jump(h, 3) == 2 and accept >= 16384:
            h_1 = twin.chain(h)
            expected.append([name, "%016x" % h_1, str(twin.probe(h_1, 3))])
            for i, slot in enumerate(lighter):
                r = twin.mix(h ^ slot.id)
                cost = twin.log_of_draw(r)
                expected.append([name, str(i), "%016x" % r, str(cost), str(slot.weight), str(cost // slot.weight)])
    h = twin.key_hash(placement_key, b"", twin.consumer_key(b"alice"))
    for k in range(7):
        slot = twin.jump(h, 100) if k == 0 else twin.probe(h, 100)
        expected.append([str(k), "%016x" % h, str(slot)])
        h = twin.chain(h)
    for line in expected:
        report.check("worked example of the selection", True, line in lines, line)


def check_cookie_example(report):
    lines = example_lines("spec/cookie-format.md")
    id, pin = bytes(range(0xA0, 0xB0)), twin.identity_hash(b"account-a")
    for key in (None, twin.consumer_key(b"alice")):
        kind = twin.ANONYMOUS if key is None else key.kind
        cookie = twin.Cookie(kind, 1, 1800000000, 1800003600, id, pin)
        value = twin.encode(cookie, b"\x22" * 16, b"__Host-tokenpin", b"", key)
        data = twin.unbase64url(value)
        for line in (
            ["head", data[:26].hex()],
            ["pin", data[26:34].hex()],
            ["tag", data[34:].hex()],
            ["value", value.decode()],
        ):
            report.check("worked example of the cookie", True, line in lines, line)


def check_ids_example(report):
    lines = example_lines("spec/sealed-ids.md")
    ring = [twin.RingKey(1, b"\x22" * 16, twin.SIGN)]
    pin = twin.identity_hash(b"account-a")
    resp = b"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"
    expected = []
    for native in (b"file-AbCdEfGhIjKlMnOpQrStUv", resp, b"batch_0494a322-8b14-42a0-be43-71fc2ddb9af2"):
        envelope = twin.envelope_of(ring[0], twin.USE_ID, b"", b"", pin, native)
        sealed = twin.seal_id(ring, b"", b"", native, pin)
        expected += [["native", native.decode()], ["sealed", sealed.decode()], ["envelope", envelope.hex()]]
    expected.append(["sealed", twin.seal_id(ring, b"openai", b"alice", resp, pin).decode()])
    content = b"gAAAAABo"
    mark = twin.mark_content(ring, b"", b"", content, pin)
    expected.append(["marked", (content + mark).decode()])
    for line in expected:
        report.check("worked example of sealed ids", True, line in lines, line)


# ---- The whole run -------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=os.path.join(ROOT, "build", "lib", "libtokenpin.so"))
    parser.add_argument(
        "--cases",
        type=int,
        default=8000,
        help="random decisions; the number of the other cases follows from it. "
        "With fewer than 4000, rare cases might be missed, which is a "
        "failure",
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print("seed %d, cases %d" % (arguments.seed, arguments.cases))
    report = Report()
    check_published(report)
    check_claims(report)
    check_selection_example(report)
    check_cookie_example(report)
    check_ids_example(report)
    check_vector_files(report, VECTORS)
    print("vectors: %d passed, %d failed" % (report.passed, report.failed))
    check_library(report, os.path.abspath(arguments.library), arguments.cases, arguments.seed)
    print("%d passed, %d failed" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
