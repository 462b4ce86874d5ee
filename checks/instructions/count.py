"""Instructions per call of the hot functions, counted by callgrind, against a checked-in baseline.

Counts do not depend on the machine's speed or load, so a function that grew shows anywhere. They do
depend on the compilers, which the baseline names: with others, differences that they explain are
tolerated.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CALLS = 1000
TOLERANCE = 0.03
OTHER_COMPILER_TOLERANCE = 0.25
BASELINE = Path(__file__).with_name("baseline.txt")
HEAD = "# Instructions per call, on x86-64. `make bench-instructions-baseline` writes this file.\n"


def count(driver):
    """Runs the driver under callgrind. Returns {case: instructions per call}."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        # The C library has functions for every kind of processor; the plainest exist everywhere.
        plain = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX2_Usable,-ERMS,-FSRM,-SSSE3"
        subprocess.run(
            ["env", plain, "valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", driver], check=True
        )
        costs = inclusive(out.read_text().splitlines())
    return {case: cost / CALLS for case, cost in sorted(costs.items())}


def inclusive(lines):
    """The inclusive costs of what each `case_*` calls of the library.

    The format: `fn=` starts a function, `cfn=` names one that it calls, and the line after `calls=`
    ends in the inclusive cost of those calls. A name is written out where its number first occurs.
    """
    names, costs, caller, callee, is_cost = {}, {}, "", "", False
    for line in lines:
        named = re.match(r"(c?fn)=(\(\d+\))(?: ([^']*))?", line)
        if named:
            kind, number, name = named.groups()
            names[number] = name or names[number]
            if kind == "fn":
                caller = names[number]
            else:
                callee = names[number]
        elif is_cost and caller.startswith("case_") and callee.startswith("tokenpin_"):
            case = caller.removeprefix("case_")
            costs[case] = costs.get(case, 0) + int(line.split()[-1])
        is_cost = line.startswith("calls=")
    return costs


def first_line(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def write(compiler, counts):
    lines = [f"{cost:8.1f} {case}\n" for case, cost in counts.items()]
    BASELINE.write_text(f"{HEAD}# {compiler}\n{''.join(lines)}")


def compare(compiler, counts):
    """Prints a table. Returns whether every function stayed within its bound."""
    lines = BASELINE.read_text().splitlines()
    there = {case: float(cost) for cost, case in map(str.split, lines[2:])}
    same = lines[1] == f"# {compiler}"
    tolerance = TOLERANCE if same else OTHER_COMPILER_TOLERANCE
    if not same:
        print(f"The baseline is of {lines[1][2:]}; this is {compiler}. So {tolerance:.0%} is tolerated.")
    good = there.keys() == counts.keys()
    if not good:
        print("cases and baseline differ:", *sorted(there.keys() ^ counts.keys()))
    for case in sorted(there.keys() & counts.keys()):
        growth = counts[case] / there[case] - 1
        grew = growth > tolerance
        good &= not grew
        print(f"{there[case]:8.1f} -> {counts[case]:8.1f} {growth:+7.1%} {case}{' GREW' * grew}")
    print(
        "passed"
        if good
        else f"failed: more than {tolerance:.0%}; if it is meant to be, `make bench-instructions-baseline`"
    )
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("driver", help="the program of driver.c")
    parser.add_argument("--write", action="store_true", help="write the baseline")
    args = parser.parse_args()
    compiler = first_line("rustc", "--version")
    counts = count(args.driver)
    if args.write:
        write(compiler, counts)
    elif not compare(compiler, counts):
        sys.exit(1)


main()
