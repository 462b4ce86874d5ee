"""Refuses dialect in prose, and lines that are too long. `words.txt` is the list.

Prose is comments, docstrings, Markdown and strings of several words. Code is read only for its
width. Prints `file:line: word: better word`, and exits with 1 if anything was found.
"""

import argparse
import functools
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

WIDTH = 100
HERE = Path(__file__).parent
# Data, and text that other tools or people wrote.
SKIPPED = re.compile(
    r"(^|/)(LICENSE-|vectors/|corpus/|testdata/|golden/|THIRD|package-lock)"
    r"|requirements\.txt$|\.(lock|sum|csv|svg|dict|sse|txt)$|(^|/)words/test_words\.py$"
)
GENERATED = re.compile(r"^\W*(Code generated|Generated)\b.*make bindings|^#define TOKENPIN_H", re.M)

LINE_STRING = r'"(?:\\.|[^"\\\n])*"'
QUOTED = r"'(?:\\.|[^'\\\n])*'"
SLASHES = r"(?P<comment>//[^\n]*|/\*.*?\*/)"
HASH = r"(?P<comment>(?<!\S)#[^\n]*)"
TRIPLE = r'"""(?:\\.|[^\\])*?"""' + r"|'''(?:\\.|[^\\])*?'''"


def grammar(comment, *strings):
    return re.compile(comment + "|(?P<string>" + "|".join(strings or ["(?!)"]) + ")", re.S)


C = grammar(SLASHES, r'R"(?P<mark>\w*)\(.*?\)(?P=mark)"', LINE_STRING, r"'(?:\\.|[^'\\\n])'")
SCRIPT = grammar(SLASHES, LINE_STRING, QUOTED, r"`(?:\\.|[^`\\])*`")
SHELL = grammar(HASH, r'"(?:\\.|[^"\\])*"', r"'[^']*'")
MAKE = grammar(HASH, LINE_STRING, QUOTED)
GRAMMARS = {
    "rs": grammar(
        SLASHES,
        r'r(?P<mark>#*)".*?"(?P=mark)',
        r'"(?:\\.|[^"\\])*"',
        r"'(?:\\[^\n]+?|[^'\\\n])'",
    ),
    "go": grammar(SLASHES, LINE_STRING, r"`[^`]*`", r"'(?:\\.|[^'\\\n])+'"),
    "java": grammar(SLASHES, r'""".*?"""', LINE_STRING, r"'(?:\\.|[^'\\\n])+'"),
    "py": grammar(HASH, TRIPLE, LINE_STRING, QUOTED),
    "lua": grammar(r"(?P<comment>--\[\[.*?\]\]|--[^\n]*)", LINE_STRING, QUOTED, r"\[\[.*?\]\]"),
    "json": grammar(r"(?P<comment>(?!))", LINE_STRING),
    "xml": grammar(r"(?P<comment><!--.*?-->)"),
    "wat": grammar(r"(?P<comment>;;[^\n]*)"),
}
GRAMMARS |= dict.fromkeys("c h cc cpp hpp inc ld proto".split(), C)
GRAMMARS |= dict.fromkeys("js mjs cjs ts mts php gradle".split(), SCRIPT)
GRAMMARS |= dict.fromkeys(["sh", "run"], SHELL)
GRAMMARS |= dict.fromkeys("mk Makefile yml yaml toml cmake in pyi bazel bzl ini".split(), MAKE)
GRAMMARS["pyi"] = GRAMMARS["py"]
# JSON is data, except for the descriptions of a schema.
JSON = re.compile(r"\.schema\.json$")

MARKERS = re.compile(r"^[ \t]*(?:///?!?|/?\*+!?|#+:?|--+|;;+)|/?\*+/$", re.M)
# A NUL stands for code, so nothing here reaches from one comment into the next behind code.
QUOTED_CODE = re.compile(r"```[^\0]*?(?:```|(?=\0)|\Z)|`[^`\0]*`")
TARGET = re.compile(r"\]\([^)\s]*\)|\]\[[^\]]*\]|\bhttps?://\S+|<[^>\s!][^>]*>")
OPENING = re.compile(r"(?:What|Whether|Where|How)\b(?!\'s\b)(?![^.]*\?)")


@functools.cache
def rules():
    """The list: better words by refused ones as one pattern, and what is fine all the same."""
    better, fine = {}, []
    for line in (HERE / "words.txt").read_text().splitlines():
        left, equals, right = line.partition(" = ")
        if not line or line.startswith("#"):
            continue
        if not equals:
            raise SystemExit(f"words.txt: no ` = ` in {line!r}")
        if right == "fine":
            fine.append(left)
        else:
            better[left] = right

    def pattern(phrases):
        # Longest first, and across the end of a line.
        phrases = sorted(phrases, key=len, reverse=True)
        words = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in phrases)
        return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.I)

    return pattern(better), pattern(fine), better


def blank(text):
    return re.sub(r"\S", "\0", text)


def spaces(text):
    return re.sub(r"[^\n]", " ", text)


def masked(pattern, mask, text):
    return pattern.sub(lambda found: mask(found[0]), text)


def prose(text, kind):
    """The text with all but its prose blanked, of the same length, and where its comments begin."""
    parts, starts, at, before = [], [], 0, None
    for token in GRAMMARS[kind].finditer(text) if kind != "md" else ():
        code, at, word = text[at : token.start()], token.end(), token[0]
        parts.append(blank(code))
        if kind == "py" and word[:3] in ('"""', "'''") and not code.rpartition("\n")[2].strip():
            word = f"#  {word[3:-3]}   "
        elif token["comment"] is None:
            # A string is prose if it has several words.
            sentence = re.search(r"[A-Za-z]{2,} .*[A-Za-z]{2,}", word, re.S)
            parts.append(f"\0{word[1:-1]}\0" if sentence else blank(word))
            before = None
            continue
        # One comment may be several lines of comments.
        if before != word[:3] or code.count("\n") != 1 or code.strip():
            starts.append(token.start())
        before = word[:3]
        parts.append(masked(MARKERS, spaces, word))
    parts.append(text[at:] if kind == "md" else blank(text[at:]))
    return masked(TARGET, blank, masked(QUOTED_CODE, blank, "".join(parts))), starts


def too_long(text, kind):
    """The lines over the width that could be broken."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if kind == "md" and line.lstrip().startswith("```"):
            fenced = not fenced
        if len(line) <= WIDTH or fenced or "://" in line:
            continue
        if kind == "md" and line.lstrip().startswith(("|", "[!")):
            continue
        if max(map(len, line.split())) <= 60:
            yield number, f"{len(line)} columns: at most {WIDTH}"


def check(text, name):
    """All findings in one file, as pairs of a line number and a message."""
    kind = "md" if name.endswith(".md") else name.rpartition("/")[2].rpartition(".")[2]
    if kind != "md" and kind not in GRAMMARS or GENERATED.search(text[:4000]):
        return []
    read, starts = prose(text, kind)
    refused, fine, better = rules()
    read = masked(fine, spaces, read)
    findings = list(too_long(text, kind)) if kind != "json" else []

    def line_of(at):
        return text.count("\n", 0, at) + 1

    for found in refused.finditer(read):
        word = " ".join(found[0].split())
        findings.append((line_of(found.start()), f"{word}: {better[word.lower()]}"))
    for start in starts:
        first = re.compile(r"\s*").match(read, start).end()
        if opening := OPENING.match(read, first):
            findings.append((line_of(first), f"{opening[0]}: open with a verb or a noun"))
    return sorted(findings)


def check_file(name):
    try:
        text = Path(name).read_text()
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return []
    return [f"{name}:{line}: {message}" for line, message in check(text, name)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("paths", nargs="*", help="files and folders; the whole tree without any")
    paths = arguments.parse_args().paths
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    names = sorted(name for name in set(listed) if name and not SKIPPED.search(name))
    names = [name for name in names if not name.endswith(".json") or JSON.search(name)]
    if not names:
        sys.exit(f"no file to check in {' '.join(paths)}")
    with multiprocessing.Pool(os.cpu_count()) as pool:
        found = [line for lines in pool.imap(check_file, names, 16) for line in lines]
    print("".join(f"{line}\n" for line in found), end="", flush=True)
    if found:
        sys.exit(f"{len(found)} to fix; STYLE.md says why, checks/words/words.txt is the list")


if __name__ == "__main__":
    main()
