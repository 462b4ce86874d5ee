"""The bill of materials of a release, in CycloneDX: its files, and the parts of others in each.

    sbom.py FOLDER

OWASP's library writes it, and checks it against the format's schema. The crates are those that
supply.py finds; their checksums are those of the lock files.
"""

import datetime
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid
import xml.etree.ElementTree

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from supply import cargo_metadata, runtime

OURS = "MIT OR Apache-2.0"
# No manifest states these.
MAVEN_LICENCES = {"com.dylibso.chicory": "Apache-2.0", "org.jspecify": "Apache-2.0"}
POM = {"m": "http://maven.apache.org/POM/4.0.0"}


def component(kind, name, version, licence, *, group=None, checksum=None):
    purl = PackageURL(kind, group, name, version)
    return Component(
        name=name,
        group=group,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseFactory().make_from_string(licence.replace("/", " OR "))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


def printed(*command):
    return subprocess.check_output(command, text=True).strip()


def rust(folder=".", *features):
    """Returns the crates that a package of Rust is built from, on any target."""
    metadata = cargo_metadata(f"{folder}/Cargo.toml", *features)
    lock = tomllib.loads(pathlib.Path(metadata["workspace_root"], "Cargo.lock").read_text())
    sums = {(each["name"], each["version"]): each.get("checksum") for each in lock["package"]}
    shipped = runtime(metadata)
    found = [component("generic", "rust-std", printed("rustc", "-V").split()[1], OURS)]
    for package in metadata["packages"]:
        name, version = package["name"], package["version"]
        if name in shipped and package["source"]:
            found.append(component("cargo", name, version, package["license"], checksum=sums[name, version]))
    return found


def envoy():
    """The library for JSON, of which only headers are used, and the compiler's own."""
    (version,) = re.findall(
        r"^nlohmann-json==(\S+)", pathlib.Path("gateways/envoy/json-requirements.txt").read_text(), re.M
    )
    compiler = printed(os.environ.get("CXX", "c++"), "-dumpfullversion")
    return [
        component("github", "json", version, "MIT", group="nlohmann"),
        component("generic", "libstdc++", compiler, "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ]


def maven():
    """Yields the dependencies of the jar, which Maven resolves."""
    parent = xml.etree.ElementTree.parse("bindings/jvm/pom.xml")
    properties = {each.tag.split("}")[1]: each.text for each in parent.find("m:properties", POM)}
    for each in parent.iterfind("m:dependencyManagement//m:dependency", POM):
        group, name, version = (each.find(f"m:{tag}", POM).text for tag in ("groupId", "artifactId", "version"))
        if each.find("m:scope", POM) is None:
            version = re.sub(r"\$\{(.*)\}", lambda match: properties[match[1]], version)
            yield component("maven", name, version, MAVEN_LICENCES[group], group=group)


def contents(name, version):
    """Returns the parts of others in a file, by its name."""
    c_abi = ("--features", "capi")
    if name == f"tokenpin-{version}.crate":
        return rust(".", "--all-features")
    if name == f"tokenpin-tower-{version}.crate":
        return rust("gateways/tower")
    if name == f"tokenpin-{version}.wasm":
        return rust("gateways/proxy-wasm")
    if name.endswith(".whl") or name == f"tokenpin-{version}.tar.gz":
        return rust("bindings/python")
    if name.startswith("tokenpin-envoy-"):
        return rust(".", *c_abi) + envoy()
    if name.startswith("tokenpin-maven-"):
        return rust(".", *c_abi) + list(maven())
    if name.startswith(("LICENSE-", "tokenpin-nginx-", "tokenpin-go-")):
        return []
    assert re.fullmatch(rf"tokenpin-{re.escape(version)}(-.*\.tar\.gz|\.tgz)", name), name
    return rust(".", *c_abi)


def main():
    folder = pathlib.Path(sys.argv[1])
    version = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, repr(files)))
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    bom.metadata.component = component("generic", "tokenpin", version, OURS)
    made = []
    for name, checksum in files.items():
        file = component("generic", name, version, OURS, checksum=checksum)
        file.type = ComponentType.FILE
        parts = contents(name, version)
        bom.components.update([file, *parts])
        bom.register_dependency(file, parts)
        made.append(file)
    bom.register_dependency(bom.metadata.component, made)
    text = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom.py: {error}")
    (folder / f"tokenpin-{version}.cdx.json").write_text(text)
    print(f"  tokenpin-{version}.cdx.json: {len(files)} files, {len(bom.components) - len(files)} parts of others")


main()
