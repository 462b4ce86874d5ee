"""Cache lines and pages that one decision touches, by an address trace of valgrind's lackey.

A proxy decides rarely, so the nearest caches hold nothing of the library by then. The cost of a
decision is then the lines of 64 bytes and the pages of 4 KiB that it fetches, more than its
instructions.

Fails if a case touches more than checks/cache_lines/baseline.txt allows, if it runs a function of
the library that packaging/hot.txt does not list, or if a line of that list matches no function.
"""

import argparse
import bisect
import collections
import re
import subprocess
import sys
from pathlib import Path

LINE, PAGE = 64, 4096
# The tolerance for lines. Pages are few, and packaging/hot.txt exists for them: none more is
# tolerated.
TOLERANCE = 0.05
BASELINE = Path(__file__).with_name("baseline.txt")
HOT = Path("packaging/hot.txt")
HEAD = "# case: lines of code, lines of data, pages of code, on x86-64. `make cache-lines-baseline` writes it.\n"
# In the order in which the driver calls them, once each.
CASES = ("stateless", "consumer", "minted", "home", "elsewhere", "forged", "home_down")


def symbols(program):
    """The functions and objects of a program, by ascending address: (start, end, name)."""
    listed = subprocess.run(
        ["nm", "-C", "-S", "--numeric-sort", "--defined-only", program], check=True, capture_output=True, text=True
    ).stdout
    found = re.findall(r"^(\w+) (\w+) \w (.*)$", listed, re.M)
    return [(int(start, 16), int(start, 16) + int(size, 16), name) for start, size, name in found]


def trace(program, table):
    """{case: ({addresses of code}, {addresses of data})} of one call each."""
    entry = next(start for start, _, name in table if name == "tokenpin_affinity_decide")
    # The C library has functions for every kind of processor; the plainest exist everywhere.
    plain = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX2_Usable,-ERMS,-FSRM,-SSSE3"
    command = ["env", plain, "valgrind", "--tool=lackey", "--trace-mem=yes", "--log-fd=1", program]
    seen, following, back = [], 0, None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            kind, rest = line[:3].strip(), line[3:]
            if kind not in ("I", "L", "S", "M"):
                continue
            address, size = rest.split(",")
            address, size = int(address, 16), int(size)
            if kind == "I":
                if address == entry:
                    # The decision ends where the call that led here returns.
                    back = following
                    seen.append((set(), set()))
                elif address == back:
                    back = None
                following = address + size
            if back is not None:
                seen[-1][0 if kind == "I" else 1].update((address, address + size - 1))
    if running.returncode != 0:
        sys.exit(f"{program} under valgrind: status {running.returncode}")
    # finish_minted decides a second time, behind the cases.
    if len(seen) != len(CASES) + 1 or not all(code and data for code, data in seen):
        sys.exit(f"{len(seen)} decisions were traced, and not one for each of {len(CASES)} cases and one more")
    return dict(zip(CASES, seen[:-1], strict=True))


def count(addresses, size):
    return len({address // size for address in addresses})


def by_function(addresses, table):
    starts = [start for start, _, _ in table]
    found = collections.defaultdict(set)
    for address in addresses:
        at = bisect.bisect_right(starts, address) - 1
        name = table[at][2] if at >= 0 and address < table[at][1] else "?"
        found[name].add(address // LINE)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="linked statically, at fixed addresses")
    parser.add_argument("--write", action="store_true", help="the baseline")
    parser.add_argument("--by-function", metavar="CASE", choices=CASES)
    arguments = parser.parse_args()
    table = symbols(arguments.program)
    touched = trace(arguments.program, table)
    counts = {case: (count(code, LINE), count(data, LINE), count(code, PAGE)) for case, (code, data) in touched.items()}
    if arguments.by_function:
        for name, lines in by_function(touched[arguments.by_function][0], table):
            print(f"{len(lines):4} {name}")
        return 0
    if arguments.write:
        rows = [f"{case}: {', '.join(map(str, each))}\n" for case, each in counts.items()]
        BASELINE.write_text(HEAD + "".join(rows))
        return 0
    failed = False
    lines = [line for line in BASELINE.read_text().splitlines() if not line.startswith("#")]
    known = dict(line.split(": ") for line in lines)
    if known.keys() != counts.keys():
        sys.exit(f"cases and {BASELINE.name} differ: {', '.join(sorted(known.keys() ^ counts.keys()))}")
    for case, each in counts.items():
        before = [int(number) for number in known[case].split(", ")]
        tolerated = (TOLERANCE, TOLERANCE, 0)
        grew = any(now > was * (1 + more) for now, was, more in zip(each, before, tolerated, strict=True))
        print(
            f"{case:10} code {each[0]:3} lines in {each[2]} pages, data {each[1]:3} lines"
            + (f"  GREW from {before}" if grew else "")
        )
        failed |= grew
    hot = [line for line in HOT.read_text().splitlines() if line and not line.startswith("#")]
    for it in hot:
        if not any(it in name for _, _, name in table):
            print(f"{HOT} lists {it}, which matches no function")
            failed = True
    for case, (code, _) in touched.items():
        for name, _ in by_function(code, table):
            if name.startswith(("tokenpin", "<tokenpin")) and not any(it in name for it in hot):
                print(f"{case} runs {name}, which {HOT} does not list")
                failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
