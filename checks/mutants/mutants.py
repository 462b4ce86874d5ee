"""Mutation testing: breaks the core in hundreds of ways, one at a time, and checks that the tests
fail.

Every mutant meets the quick tests first, and those that pass meet more. The tests that are nearest
to a folder come before all others, because few are quick to build. A surviving mutant must be in
survivors.txt, with the reason why no test can tell it from the original. Every entry there must be
among the mutants, and survive.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from itertools import groupby
from os.path import dirname
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SURVIVORS = Path(__file__).with_name("survivors.txt")

ALL = ["--lib"] + [
    f"--test={name}" for name in ["decision", "docs", "ids", "interface", "published", "selection", "vectors"]
]
# The tests that are nearest to a folder, and those that cannot reach it.
NEAR = {
    "src": ["--lib", "--test=vectors"],
    "src/cookie": ["--lib", "--test=vectors"],
    "src/decide": ["--test=decision", "--lib", "--test=interface"],
    "src/ids": ["--test=ids", "--test=vectors"],
    "src/select": ["--test=selection", "--lib"],
}
BLIND = {"src/ids": ["--test=published", "--test=selection"]}
# The tests that take more than a quarter of a second.
SLOW = ["balance::", "moves::", "nasty::", "oracle::", "table::", "random_requests", "random_pairs"]
SLOW += ["answers_of_a_real_server", "the_model_reads_what_serde_json_reads", "cut_anywhere"]


def source_line(mutant):
    """The source line as mutated, where the mutation is within one."""
    start, end = mutant["span"]["start"], mutant["span"]["end"]
    if start["line"] != end["line"] or mutant["genre"] == "FnValue":
        return ""
    line = (ROOT / mutant["file"]).read_text().split("\n")[start["line"] - 1]
    mutated = line[: start["column"] - 1] + mutant["replacement"] + line[end["column"] - 1 :]
    return mutated.strip()


def key(mutant):
    """The name of a mutant, which does not change when lines move."""
    description = re.sub(r"^[^:]*:\d+:\d+: ", "", mutant["name"])
    return mutant["file"], description, source_line(mutant)


def listed():
    """The entries of survivors.txt, each with its reason.

    An entry is a paragraph: `file: mutation`, the mutated line after `> `, where there is one,
    and the reason.
    """
    entries = {}
    for paragraph in re.split(r"\n{2,}", SURVIVORS.read_text().strip()):
        lines = [line for line in paragraph.split("\n") if line and not line.startswith("#")]
        if not lines:
            continue
        file, description = lines.pop(0).split(": ", 1)
        line = lines.pop(0)[2:] if lines and lines[0].startswith("> ") else ""
        if not lines:
            sys.exit(f"{SURVIVORS.name}: no reason for {description}")
        if (file, description, line) in entries:
            sys.exit(f"{SURVIVORS.name}: twice: {description}")
        entries[file, description, line] = " ".join(lines)
    return entries


def phases(folder):
    """The tests that the mutants of a folder meet one after another, and those left out of them."""
    near = NEAR[folder]
    others = [test for test in ALL if test not in near + BLIND.get(folder, [])]
    return [(near[:1], SLOW), (near, []), (others, [])]


def run(tool, out, files, only, tests, skip):
    """Runs cargo-mutants, and returns its mutants by their outcome."""
    command = [tool, "mutants", "--no-shuffle", "--colors=never", "--output", str(out)]
    for file in files:
        command += ["--file", file]
    for name in only:
        command += ["--re", f"^{re.escape(name)}$"]
    # Otherwise every test is built, even if only some run.
    for argument in ["--locked", *tests]:
        command += [f"--cargo-arg={argument}"]
    command += ["--", "--"]
    for name in skip:
        command += ["--skip", name]
    out.mkdir(parents=True, exist_ok=True)
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    # 2: some were missed; 3: some hang.
    if status not in (0, 2, 3):
        sys.exit(f"cargo-mutants failed: status {status}")
    outcomes = json.loads((out / "mutants.out" / "outcomes.json").read_text())["outcomes"]
    scenarios = [(outcome["scenario"], outcome["summary"]) for outcome in outcomes]
    return [(it["Mutant"], summary) for it, summary in scenarios if it != "Baseline"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="the command cargo-mutants")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what it writes")
    parser.add_argument("files", nargs="+", help="the sources to mutate")
    arguments = parser.parse_args()
    expected = {it for it in listed() if it[0] in arguments.files}

    results = {}
    for folder, files in groupby(arguments.files, key=dirname):
        files, left = list(files), []
        for number, (tests, skip) in enumerate(phases(folder)):
            out = arguments.out / f"phase-{number}"
            found = run(arguments.tool, out, files, left, tests, skip)
            results.update({mutant["name"]: (mutant, summary) for mutant, summary in found})
            left = [mutant["name"] for mutant, summary in found if summary == "MissedMutant"]
            if not left:
                break

    counts = {file: Counter() for file in arguments.files}
    survivors = {}
    for name, (mutant, summary) in results.items():
        survived = summary == "MissedMutant"
        counts[mutant["file"]]["Listed" if survived and key(mutant) in expected else summary] += 1
        if survived:
            survivors.setdefault(key(mutant), name)
    print("| file | mutants | caught | hang | do not build | equivalent |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    kinds = ["CaughtMutant", "Timeout", "Unviable", "Listed"]
    for file, count in counts.items():
        print(f"| {file} | {count.total()} | {' | '.join(str(count[kind]) for kind in kinds)} |")

    unknown = [survivors[it] for it in survivors if it not in expected]
    gone = expected - survivors.keys()
    for name in unknown:
        print(f"survives and is not in {SURVIVORS.name}: {name}")
    for file, description, line in sorted(gone):
        print(f"in {SURVIVORS.name}, but caught or not there: {file}: {description}: {line}")
    sys.exit(bool(unknown or gone))


if __name__ == "__main__":
    main()
