"""The size of the library: as a shared library, linked into the Envoy filter, and in memory."""

import argparse
import pathlib
import re
import subprocess

import figures


def linked(text):
    """Returns the part of a linker's map from our archive, behind the list of dropped sections."""
    kept = text.partition("\nLinker script and memory map\n")[2]
    return sum(int(size, 16) for size in re.findall(r" (0x[0-9a-f]+) \S*libtokenpin\.a\(", kept))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=pathlib.Path, required=True, help="the shared library")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="filter.map and footprint")
    parser.add_argument("--document", type=pathlib.Path, required=True, help="gets the table")
    arguments = parser.parse_args()
    stripped = arguments.build / "stripped.so"
    subprocess.run(["strip", "-o", stripped, arguments.shared], check=True)
    rows = [
        ["shared library, stripped", stripped.stat().st_size],
        ["the static library in a linked Envoy filter", linked((arguments.build / "filter.map").read_text())],
    ]
    done = subprocess.run([arguments.build / "footprint"], check=True, capture_output=True, text=True)
    rows += [line.split("\t") for line in done.stdout.splitlines()]
    text = figures.table(["what", "bytes"], [[what, f"{int(size):,}".replace(",", " ")] for what, size in rows])
    print(text)
    figures.put_section(arguments.document, "size", text)


if __name__ == "__main__":
    main()
