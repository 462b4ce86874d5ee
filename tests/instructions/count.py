"""Instructions per call of the hot functions, counted by callgrind, against a checked-in baseline.

Counts depend on the compiler, not on the machine's speed or load: so a slower function shows
anywhere. The baseline names its compiler. With another one the counts are printed, and only a growth
beyond what compilers explain fails.
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
HEAD = "# Instructions per call, in thousandths. `make bench-instructions-baseline` writes this file.\n"


def count(driver):
    """Runs the driver under callgrind. Returns {case: instructions of a thousand calls}."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        subprocess.run(["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}",
                        driver], check=True, stdin=subprocess.DEVNULL)
        return read(out.read_text().splitlines())


def read(lines):
    """The inclusive costs of what each `case_*` calls of the library.

    The format: `fn=` starts a function, `cfn=` names one that it calls, and the line after `calls=`
    ends in the inclusive cost of those calls. A name is written out where its number first occurs.
    """
    names, costs, caller, callee, is_cost = {}, {}, None, None, False
    for line in lines:
        named = re.match(r"(c?fn)=\((\d+)\)(?: (\S+))?", line)
        if named:
            kind, number, name = named.groups()
            if name:
                names[number] = name.split("'")[0]
            if kind == "fn":
                caller = names[number]
            else:
                callee = names[number]
        elif is_cost and caller.startswith("case_") and callee.startswith("tokenpin_"):
            case = caller.removeprefix("case_").split(".")[0]
            costs[case] = costs.get(case, 0) + int(line.split()[-1])
        is_cost = line.startswith("calls=")
    return costs


def rustc():
    return subprocess.run(["rustc", "--version"], check=True, capture_output=True,
                          text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver")
    parser.add_argument("--write", action="store_true", help="write the baseline")
    args = parser.parse_args()
    counts = count(args.driver)
    if args.write:
        lines = [f"{cost / CALLS:10.1f} {case}\n" for case, cost in counts.items()]
        BASELINE.write_text(f"{HEAD}# {rustc()}\n{''.join(lines)}")
        return
    for case, cost in counts.items():
        print(f"{cost / CALLS:10.1f} {case}")


main()
