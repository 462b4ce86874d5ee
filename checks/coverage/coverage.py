"""Judges the coverage of the core, src/, and measures that of the C ABI, src/capi/.

A line or a branch of the core that no test reaches must be in exceptions.txt, with the reason, and
every entry must be unreached. Without the exceptions, 99 % of the lines and of the branches must be
reached; with them, at least 97 %, so that the list stays short. Test modules inside src/ do not
count.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EXCEPTIONS = Path(__file__).with_name("exceptions.txt")
LEAST, LEAST_WITH_EXCEPTIONS = 99.0, 97.0
TESTS = ["#[cfg(test)]", "mod tests {"]


def listed():
    """The entries of exceptions.txt, each with its reason.

    An entry is a paragraph: `file: line` or `file: line, when true` (or `false`) for a
    branch, the text of the source line after `> `, and the reason.
    """
    entries = {}
    for paragraph in EXCEPTIONS.read_text().strip().split("\n\n"):
        lines = [line for line in paragraph.split("\n") if line and not line.startswith("#")]
        if not lines:
            continue
        if len(lines) < 3 or not lines[1].startswith("> "):
            sys.exit(f"{EXCEPTIONS.name}: not an entry with a reason: {lines[0]}")
        entries[lines[0], lines[1][2:]] = " ".join(lines[2:])
    return entries


def export(arguments, form):
    """Returns llvm-cov's export, in one of its forms."""
    command = [arguments.llvm_cov, "export", f"-format={form}"]
    command += [f"-instr-profile={arguments.profile}"]
    for binary in arguments.binaries:
        command += ["-object", binary]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours(path):
    """The path of one of our sources from the root, or None."""
    path = Path(path)
    inside = path.is_relative_to(ROOT / "src")
    return str(path.relative_to(ROOT)) if inside else None


def sources():
    """By file, the lines before its test module."""
    text = {}
    for path in sorted((ROOT / "src").rglob("*.rs")):
        lines = path.read_text().split("\n")
        for i in range(len(lines) - 1):
            if lines[i : i + 2] == TESTS:
                lines = lines[:i]
                break
        text[str(path.relative_to(ROOT))] = lines
    return text


def measure(arguments, text):
    """By file, how often each line and each way of each branch was taken."""
    lines, branches = defaultdict(lambda: defaultdict(int)), defaultdict(lambda: defaultdict(int))
    file = None
    for record in export(arguments, "lcov").splitlines():
        if record.startswith("SF:"):
            file = ours(record[3:])
        elif record.startswith("DA:") and file:
            number, count = record[3:].split(",")[:2]
            lines[file][int(number)] += int(count)
    # A generic function has a branch for every type it is used with: one of them is enough.
    for entry in json.loads(export(arguments, "text"))["data"][0]["files"]:
        file = ours(entry["filename"])
        for branch in entry.get("branches", []) if file else []:
            place = tuple(branch[:4])
            branches[file][place, "true"] += branch[4]
            branches[file][place, "false"] += branch[5]
    for file, source in text.items():
        for number in [it for it in lines[file] if it > len(source)]:
            del lines[file][number]
        for it in [it for it in branches[file] if it[0][0] > len(source)]:
            del branches[file][it]
    return lines, branches


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llvm-cov", required=True, help="the command llvm-cov")
    parser.add_argument("--profile", required=True, help="the merged profile")
    parser.add_argument("binaries", nargs="+", help="the instrumented programs")
    arguments = parser.parse_args()

    text = sources()
    lines, branches = measure(arguments, text)
    missed = defaultdict(list)
    parts = {"the core": [0, 0, 0, 0], "the C ABI": [0, 0, 0, 0]}
    print("| file | lines | missed | branches | missed |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for file, source in text.items():
        gaps = []
        for number, count in sorted(lines[file].items()):
            if count == 0:
                gaps.append((f"{file}: line", source[number - 1].strip(), number))
        line_gaps = len(gaps)
        for (place, way), count in sorted(branches[file].items()):
            if count == 0:
                excerpt = source[place[0] - 1]
                last = place[3] - 1 if place[2] == place[0] else None
                condition = excerpt[place[1] - 1 : last]
                gaps.append((f"{file}: `{condition}` is never {way}", excerpt.strip(), place[0]))
        row = [len(lines[file]), line_gaps, len(branches[file]), len(gaps) - line_gaps]
        if row[0]:
            print(f"| {file} | {' | '.join(map(str, row))} |")
        part = parts["the C ABI" if file.startswith("src/capi/") else "the core"]
        part[:] = [a + b for a, b in zip(part, row, strict=True)]
        for what, excerpt, number in gaps:
            missed[what, excerpt].append(number)

    expected = listed()
    core = {it for it in missed if not it[0].startswith("src/capi/")}
    known = core & expected.keys()
    listed_lines = sum(len(missed[it]) for it in known if it[0].endswith(": line"))
    listed_branches = sum(len(missed[it]) for it in known) - listed_lines
    failed = False
    for name, row in parts.items():
        for what, count, gaps, excepted in [
            ("lines", row[0], row[1], listed_lines),
            ("branches", row[2], row[3], listed_branches),
        ]:
            percent = 100 * (count - gaps) / count
            print(f"{name}: {percent:.2f} % of {count} {what}", end="")
            if name == "the core":
                without = 100 * (count - gaps) / (count - excepted)
                print(f", {without:.2f} % without the exceptions", end="")
                failed |= percent < LEAST_WITH_EXCEPTIONS or without < LEAST
            print()
    for what, excerpt in sorted(core - expected.keys()):
        failed = True
        print(f"not reached and not in {EXCEPTIONS.name}, line {missed[what, excerpt][0]}:")
        print(f"{what}\n> {excerpt}")
    for what, excerpt in sorted(expected.keys() - core):
        failed = True
        print(f"in {EXCEPTIONS.name}, but reached or not there:\n{what}\n> {excerpt}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
