"""The supply chain: the dependencies of the library and its tests.

Runtime crates are exactly those of the tables in docs/measured/crates.md. Each licence is one that
the list below allows, and every version is locked. Advisories are not checked: that needs a
database from elsewhere.
"""

import argparse
import copy
import json
import pathlib
import re
import subprocess
import sys
import tomllib

PAGE = pathlib.Path("docs/measured/crates.md")
# The other shipped packages, and the folder of each manifest.
PACKAGES = {
    "tokenpin-tower": "gateways/tower",
    "tokenpin-python": "bindings/python",
    "tokenpin-proxy-wasm": "gateways/proxy-wasm",
}
# The licences that MIT OR Apache-2.0 may be shipped with.
RUNTIME_LICENCES = {
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Apache-2.0 WITH LLVM-exception",
}
# The licences of tools that run in tests and benchmarks, and are never shipped.
TEST_LICENCES = RUNTIME_LICENCES | {"CC0-1.0", "MPL-2.0", "NCSA", "Zlib"}
# Go does not name a licence. Each sentence here is in only this licence.
GO_LICENCES = {
    "MIT": "Permission is hereby granted, free of charge",
    "Apache-2.0": "Apache License",
    "BSD": "Redistribution and use in source and binary forms",
    "ISC": "Permission to use, copy, modify, and distribute this software for any purpose",
}


def run(*command, cwd="."):
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"supply.py: {' '.join(command)}:\n{done.stderr}")
    return done.stdout


def allowed(expression, licences):
    """Returns whether an SPDX expression can be met with these licences."""
    words = re.findall(r"\(|\)|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR ")) or [""]

    def term():
        word = words.pop(0)
        if word != "(":
            return word in licences
        inner = either()
        words.pop(0)
        return inner

    def joined(word, part, combine):
        result = part()
        while words[:1] == [word]:
            words.pop(0)
            result = combine([part(), result])
        return result

    def either():
        return joined("OR", lambda: joined("AND", term, all), any)

    return either()


def runtime(metadata):
    """The crates that the library is built with, on any target, with any feature: name -> code run
    at build time."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, todo = {}, [root]
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            package = packages[dependency["pkg"]]
            if kinds & {None, "build"} and package["name"] not in found:
                targets = {kind for target in package["targets"] for kind in target["kind"]}
                runs = {"custom-build": "build script", "proc-macro": "proc macro"}
                found[package["name"]] = ", ".join(runs[kind] for kind in sorted(runs) if kind in targets)
                todo.append(dependency["pkg"])
    return found


def listed(page, table):
    """A table of docs/measured/crates.md: crate -> code run at build time."""
    rows = re.search(rf"<!-- {table} -->\n(.*?)<!-- end -->", page, re.S).group(1)
    return {name: runs.strip(" –") for name, runs in re.findall(r"^\| `([^`]+)` \|([^|]*)\|", rows, re.M)}


def crate_problems(found, page, table="runtime crates"):
    wanted = listed(page, table)
    for name in sorted(found.keys() | wanted.keys()):
        if name not in wanted:
            yield f"{name} is shipped, and not in the {table} of {PAGE}"
        elif name not in found:
            yield f"{name} is in the {table} of {PAGE}, and not shipped"
        elif found[name] != wanted[name]:
            runs, page_says = found[name] or "nothing", wanted[name] or "nothing"
            yield f"{name} runs when building: {runs}; the {table} of {PAGE} say {page_says}"


def licence_problems(metadata, shipped):
    for package in metadata["packages"]:
        if package["source"] is None:
            continue  # our own
        licences = RUNTIME_LICENCES if package["name"] in shipped else TEST_LICENCES
        if not package["license"] or not allowed(package["license"], licences):
            yield f"{package['name']} {package['version']} is under {package['license']}"


def lock_problems(lock):
    for package in lock["package"]:
        if "source" in package and not (package["source"].startswith("registry+") and package.get("checksum")):
            yield f"{package['name']} has no checksum, or comes from {package['source']}"


def requirement_problems(text):
    for line in text.splitlines():
        if (
            line.strip()
            and not line.startswith("#")
            and not re.match(r"^[\w.-]+==[\w.]+( --hash=sha256:[0-9a-f]{64})*$", line)
        ):
            yield f"not pinned: {line}"


def npm_problems(manifest, lock):
    """Checks a package of npm: it ships only its own code, and the dependencies of its tests are
    pinned, with hash and licence."""
    for table in ("dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies"):
        if manifest.get(table) and not manifest.get("private"):
            yield f"{table} of {manifest['name']}: {', '.join(manifest[table])}"
    for name, version in {**manifest.get("dependencies", {}), **manifest.get("devDependencies", {})}.items():
        if not re.fullmatch(r"\d+\.\d+\.\d+(-[\w.]+)?", version):
            yield f"{name} is asked for as {version}, not as one version"
    for path, package in lock["packages"].items():
        if path and not package.get("integrity", "").startswith("sha512-"):
            yield f"{path} has no hash"
        if path and "resolved" in package:
            yield f"{path} claims to come from {package['resolved']}"
        if path and not allowed(package.get("license", ""), TEST_LICENCES):
            yield f"{path} is under {package.get('license')}"


def maven_problems(text):
    """Checks a project of Maven: one version of each artefact, as there is no lock file."""
    for version in re.findall(r"<(?:[\w-]+\.)?version>([^<]*)</", text):
        if not re.fullmatch(r"\d+(\.\w+)*(-\w+)?|\$\{[\w.-]+\}", version):
            yield f"not one version: {version}"
    for plugin in re.findall(r"<repository>|<pluginRepository>", text):
        yield f"another source than the usual: {plugin}"


def minimal_problems(manifest, lock):
    """Returns whether a lock holds the least versions that a manifest allows."""
    versions = {}
    for package in lock["package"]:
        versions.setdefault(package["name"], []).append(package["version"])
    tables = [manifest["dependencies"], *(target["dependencies"] for target in manifest["target"].values())]
    for name, wanted in ((name, each["version"]) for table in tables for name, each in table.items()):
        # A least version may have been withdrawn. Then the next patch is the least.
        if not any(version.startswith(wanted + ".") and int(version.split(".")[2]) <= 1 for version in versions[name]):
            yield f"{name} is locked at {versions[name]}, where {wanted} is allowed"


def go_problems():
    for module in sorted(path for path in run("git", "ls-files", "*go.mod").split()):
        folder = pathlib.Path(module).parent
        # Without the last word it leaves out modules that only a dependency names.
        run("go", "mod", "download", "all", cwd=folder)
        text, decoder = run("go", "list", "-m", "-json", "all", cwd=folder).strip(), json.JSONDecoder()
        while text:
            each, end = decoder.raw_decode(text)
            text = text[end:].strip()
            if each.get("Main") or each.get("Replace", {}).get("Path", "").startswith("."):
                continue
            files = [file for file in pathlib.Path(each["Dir"]).iterdir() if file.name.upper().startswith("LICEN")]
            words = " ".join(" ".join(file.read_text().split()) for file in files)
            if not any(sentence in words for sentence in GO_LICENCES.values()):
                yield f"{each['Path']} is under no licence that is known here"


def cargo_metadata(path, *flags):
    """Checks that the lock file fits the manifest."""
    return json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", path, *flags))


def planted(metadata, lock, page):
    """Plants defects that must be noticed: (what, whether it was)."""
    foreign = copy.deepcopy(metadata)
    package = next(package for package in foreign["packages"] if package["name"] == "memchr")
    package["license"] = "GPL-3.0-only"
    yield "a licence", any(licence_problems(foreign, {"memchr"}))
    package["license"] = None
    yield "a missing licence", any(licence_problems(foreign, set()))
    package["license"] = "MPL-2.0"
    yield "a licence only for tests", any(licence_problems(foreign, {"memchr"}))
    yield "both licences of two", not allowed("MIT AND (GPL-3.0-only OR LGPL-3.0-only)", TEST_LICENCES)
    package["targets"].append({"kind": ["custom-build"]})
    yield "a build script", any(crate_problems(runtime(foreign), page))
    yield "a crate more", any(crate_problems(runtime(metadata), page.replace("| `subtle` |", "| subtle |")))
    yield "a crate less", any(crate_problems(runtime(metadata), page.replace("| `subtle` |", "| `other` |")))
    doctored = copy.deepcopy(lock)
    doctored["package"][0].pop("checksum")
    yield "a missing checksum", any(lock_problems(doctored))
    doctored["package"][0] |= {"source": "git+https://example.com/x", "checksum": "0"}
    yield "a crate from elsewhere", any(lock_problems(doctored))
    yield "an open requirement", any(requirement_problems("pytest>=9\n"))
    good = {"version": "1.0.0", "integrity": "sha512-0", "license": "MIT"}
    yield "an open version of Maven's", any(maven_problems("<version>[1.0,2.0)</version>"))
    yield "the latest of Maven's", any(maven_problems("<junit.version>LATEST</junit.version>"))
    yield "nothing wrong with a project of Maven's", not any(maven_problems("<version>33.8.0-jre</version>"))
    yield "nothing wrong with a package of npm", not any(npm_problems({"name": "a"}, {"packages": {"": {}, "b": good}}))
    for word, value in (
        ("license", "GPL-3.0-only"),
        ("license", ""),
        ("integrity", ""),
        ("resolved", "https://example.com"),
    ):
        yield f"a package of npm: {word}", any(npm_problems({"name": "a"}, {"packages": {"b": good | {word: value}}}))
    for manifest in ({"dependencies": {"b": "1.0.0"}}, {"devDependencies": {"b": "^1.0.0"}}):
        yield f"a manifest of npm: {manifest}", any(npm_problems({"name": "a", **manifest}, {"packages": {}}))
    manifest = tomllib.loads(pathlib.Path("Cargo.toml").read_text())
    yield "newer versions than the least", any(minimal_problems(manifest, lock))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minimal", type=pathlib.Path, help="only whether this checkout locks the least versions")
    minimal = parser.parse_args().minimal
    if minimal:
        files = ((minimal / name).read_text() for name in ("Cargo.toml", "Cargo.lock"))
        problems = list(minimal_problems(*map(tomllib.loads, files)))
        sys.exit("\n".join(f"supply.py: {problem}" for problem in problems) or None)
    page, problems, crates = PAGE.read_text(), [], set()
    main_metadata = cargo_metadata("Cargo.toml", "--all-features")
    library = runtime(main_metadata)
    shipped = set(library)
    problems += crate_problems(library, page)
    for package, folder in PACKAGES.items():
        crates_of = runtime(cargo_metadata(f"{folder}/Cargo.toml"))
        added = {name: runs for name, runs in crates_of.items() if name not in (*library, "tokenpin")}
        shipped |= added.keys()
        problems += crate_problems(added, page, f"runtime crates of {package}")
    for path in run("git", "ls-files", "*Cargo.toml").split():
        metadata = cargo_metadata(path)
        # The lock of the workspace, if the package is a member of one.
        lock = pathlib.Path(metadata["workspace_root"], "Cargo.lock")
        if not run("git", "ls-files", str(lock)):
            problems.append(f"{path} has no lock file in the repository")
            continue
        crates |= {(package["name"], package["version"]) for package in metadata["packages"]}
        problems += licence_problems(metadata, shipped)
        problems += lock_problems(tomllib.loads(lock.read_text()))
    for path in run("git", "ls-files", "*requirements*.txt").split():
        problems += (f"{path}: {problem}" for problem in requirement_problems(pathlib.Path(path).read_text()))
    for path in run("git", "ls-files", "*package-lock.json").split():
        texts = (pathlib.Path(path).with_name(name).read_text() for name in ("package.json", "package-lock.json"))
        problems += (f"{path}: {problem}" for problem in npm_problems(*map(json.loads, texts)))
    for path in run("git", "ls-files", "*pom.xml").split():
        problems += (f"{path}: {problem}" for problem in maven_problems(pathlib.Path(path).read_text()))
    problems += go_problems()
    defects = list(planted(main_metadata, tomllib.loads(pathlib.Path("Cargo.lock").read_text()), page))
    problems += (f"planted, and not noticed: {what}" for what, noticed in defects if not noticed)
    for problem in problems:
        print(f"supply.py: {problem}")
    print(f"{len(library)} crates in the library, {len(crates)} in all; {len(defects)} planted defects")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
