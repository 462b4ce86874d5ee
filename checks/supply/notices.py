"""LICENSE-THIRD-PARTY: the licences of all crates that are in the files of a release.

Without arguments, compares the file with the crates; with --write, writes it.
"""

import pathlib
import re
import sys

from supply import PACKAGES, cargo_metadata, runtime

FILE = pathlib.Path("LICENSE-THIRD-PARTY")
HEAD = """The files of a release hold parts of the crates below, each under one of the licences that it is
offered under, and of Rust's standard library (https://www.rust-lang.org, MIT OR Apache-2.0).
Which file holds which is in the bill of materials of the release.
"""
NAMES = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|COPYRIGHT)([-._].*)?", re.IGNORECASE)
MIT = re.compile(r"LICEN[CS]E[-._]MIT(\..*)?", re.IGNORECASE)


def shipped():
    """Returns the crates of all packages, once each: (name, version) -> package."""
    found = {}
    for folder, features in ((".", ["--all-features"]), *((folder, []) for folder in PACKAGES.values())):
        metadata = cargo_metadata(f"{folder}/Cargo.toml", *features)
        names = runtime(metadata)
        for package in metadata["packages"]:
            if package["name"] in names and package["source"]:
                found[package["name"], package["version"]] = package
    return dict(sorted(found.items()))


def parted(licence):
    """Returns the lines before the text of the MIT licence, and that text as one line."""
    before, start, after = licence.partition("Permission is hereby granted")
    copyright = [line for line in before.splitlines() if "copyright" in line.lower()]
    return "\n".join(copyright), " ".join((start + after).split())


OURS = parted(pathlib.Path("LICENSE-MIT").read_text())[1]


def text(package):
    """Returns the chosen licence: MIT, else Apache-2.0, which is in a file of ours, else all."""
    files = sorted(pathlib.Path(package["manifest_path"]).parent.iterdir())
    if not (chosen := [file for file in files if MIT.fullmatch(file.name)]):
        (apache,) = re.findall(r"Apache-2\.0(?: WITH [\w-]+)?", package["license"]) or [None]
        if apache and not re.search(r"\bAND\b", package["license"]):
            return f"{apache}: see LICENSE-APACHE"
        chosen = [file for file in files if file.is_file() and NAMES.fullmatch(file.name)]
    assert chosen, package["name"]
    found = "\n\n".join(re.sub(r"[ \t]+$", "", file.read_text().strip(), flags=re.M) for file in chosen)
    copyright, permission = parted(found)
    return f"{copyright}\n\nMIT: see LICENSE-MIT".strip() if permission == OURS else found


def notices():
    by_text = {}
    for (name, version), package in shipped().items():
        by_text.setdefault(text(package), []).append(f"{name} {version}")
    rule = "\n" + 100 * "-" + "\n"
    return HEAD + "".join(f"{rule}{', '.join(names)}\n\n{licence}\n" for licence, names in by_text.items())


def main():
    made = notices()
    if "--write" in sys.argv:
        FILE.write_text(made)
    elif FILE.read_text() != made:
        sys.exit(f"notices.py: {FILE} is stale; `python3 checks/supply/notices.py --write` writes it")


main()
