"""Checks that decoding cookies and opening seals reaches no function of the C library that compares
memory.

    calls.py LIBRARY [FUNCTION...]

Follows the calls in the machine code of a shared library for x86-64, from the given functions, by
default those that read one cookie, and the seal of an id. A call through a register cannot be
followed, and fails too; a jump through a register is a `match`.
"""

import re
import subprocess
import sys

ROOTS = ("tokenpin_cookie_decode", "tokenpin::cookie::reader::Reader::read", "tokenpin::ids::seal::Keys::open")
ALLOWED = {"memcpy", "memset"}


def graph(library):
    """{function: what it calls or jumps to}, as objdump names it."""
    code = subprocess.run(
        ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", library],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    calls, function = {}, None
    for line in code.splitlines():
        if head := re.fullmatch(r"[0-9a-f]+ <(.*)>:", line):
            # Without the hash that Rust's names end in.
            function = re.sub(r"::h[0-9a-f]{16}$", "", head[1])
            calls.setdefault(function, set())
        elif to := re.search(r"\t(?:call +|j[a-z]+ +(?! |\*%))(.*)", line):
            target = re.search(r"<(.*?)(@[^>]*)?>$", to[1])
            name = re.sub(r"(\+0x[0-9a-f]+)?$", "", target[1]) if target else to[1]
            calls[function].add(re.sub(r"::h[0-9a-f]{16}$", "", name))
    return calls


def main():
    library, *roots = sys.argv[1:]
    calls = graph(library)
    seen, waiting, bad = set(), list(roots or ROOTS), []
    for root in waiting:
        if root not in calls:
            sys.exit(f"{library} has no function {root}: name the one that took its place")
    while waiting:
        function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        for callee in sorted(calls[function]):
            if callee in calls:
                waiting.append(callee)
            elif callee not in ALLOWED:
                bad.append(f"{function} calls {callee}")
    print(*bad, f"{len(seen)} functions reached, {len(bad)} calls that should not be", sep="\n")
    sys.exit(1 if bad else 0)


main()
