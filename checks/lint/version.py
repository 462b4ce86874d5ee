"""The version is in Cargo.toml. Every version that follows the project's name elsewhere equals it.

Searches manifests, lock files and pages for the name with a version behind it, as in
`name = "tokenpin-tower"`, `version = "0.1.0"`, or in `tokenpin/go@v0.1.0`. With --write it corrects
them, as `make bindings` does. A version of two numbers is the compatible one, and 0.0.0 is that of
packages which are never published.
"""

import pathlib
import re
import subprocess
import sys
import tomllib

MANIFESTS = {"Cargo.toml", "Cargo.lock", "package.json", "pom.xml"}
# Released versions, and one of a test that installs another.
OTHERS = {"CHANGELOG.md", "checks/abi/baseline.txt", "checks/packages/packages.sh"}
PLACE = re.compile(
    r"""tokenpin (?:[\w/-]*[a-z])? (?:\.so)?    # the name of a package, of a Go module, of the library
        (?:</artifactId>)? [^\w\n]{0,9} \n? [^\w\n]{0,9} (?:version[^\w\n]{1,6})?  # what stands between
        \b v? (\d+\.\d+(?:\.\d+)?) (?![\w.]*\d)""",
    re.VERBOSE,
)


def corrected(text, version):
    """The text with that version in each place, and how many places there are."""

    def place(match):
        was = match[1]
        now = was if was == "0.0.0" else ".".join(version.split(".")[: was.count(".") + 1])
        return match[0][: match.start(1) - match.start()] + now

    return PLACE.subn(place, text)


def check_that_it_notices():
    for text in (
        '[package]\nname = "tokenpin-tower"\nversion = "{}"\n',
        '{{\n  "name": "tokenpin",\n  "version": "{}",\n',
        "<artifactId>tokenpin-parent</artifactId>\n  <version>{}</version>",
        'tokenpin = {{ version = "{}", path = "../.." }}',
        "go get github.com/tokenpin/tokenpin/go@v{}",
        "oci://registry.example/tokenpin:{}",
        "build/dist/tokenpin-{}.tgz",
        "pip install tokenpin=={}",
    ):
        assert corrected(text.format("7.8.9"), "0.1.0") == (text.format("0.1.0"), 1), text
    for text in ("libtokenpin.so.{}", "find_package(tokenpin {} REQUIRED)", 'tokenpin = "{}"'):
        assert corrected(text.format("7.8"), "0.1.0") == (text.format("0.1"), 1), text
    for text in ('name = "tokenpin-benches"\nversion = "0.0.0"', "tokenpin.v1 of 1.40", "tokenpin, Envoy 1.40"):
        assert corrected(text, "0.1.0")[0] == text, text


def main():
    check_that_it_notices()
    version = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
    problems, all_places = [], 0
    for path in map(pathlib.Path, subprocess.check_output(["git", "ls-files"], text=True).split("\n")[:-1]):
        if str(path) in OTHERS or path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        now, places = corrected(text, version)
        all_places += places
        if path.name in MANIFESTS and not places and not re.search(r'"private": true', text) and "tokenpin" in text:
            problems.append(f"{path} has no version of ours")
        if now == text:
            continue
        if "--write" in sys.argv:
            path.write_bytes(now.encode())
        else:
            lines = zip(text.splitlines(), now.splitlines(), strict=True)
            problems += (f"{path}:{number}: {was.strip()}" for number, (was, is_) in enumerate(lines, 1) if was != is_)
    for problem in problems:
        print(f"version.py: {problem}; Cargo.toml says {version}, and `make bindings` writes it")
    print(f"{version} in {all_places} places")
    sys.exit(bool(problems))


main()
