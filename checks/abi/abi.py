"""The C interface as one list of facts, compared with the checked-in one.

The shared library is made of Rust, so its own debug information describes Rust's types, which no
program links against. The facts come from three other sources. A C file that refers to everything
in the header is compiled, and its DWARF is read. The preprocessor gives the constants, and the
shared library its exports and SONAME.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

from elftools.elf.elffile import ELFFile

# Structures that say their own size: these may grow, at their end.
SIZE_PREFIXED = {"tokenpin_config"}


class Interface:
    """The facts of one header and one library, by name."""

    def __init__(self, compiler, header, library, scratch):
        self.compiler, self.header, self.scratch = compiler.split(), header, scratch
        self.facts = {}
        self.constants()
        self.dwarf()
        self.library(library)

    def run(self, *arguments):
        command = [*self.compiler, "-std=c11", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def add(self, name, value):
        if name in self.facts:
            raise SystemExit(f"abi.py: {name} is there twice")
        self.facts[name] = str(value)

    def constants(self):
        # The whole text counts, because it also decides the type of a number.
        macros = self.run("-dM", "-E", str(self.header))
        for name, text in sorted(re.findall(r"^#define (TOKENPIN_\w+) (.+)$", macros, re.M)):
            # The library's version may change with every release.
            if not name.startswith("TOKENPIN_VERSION"):
                self.add(f"constant {name}", text)

    def dwarf(self):
        text = re.sub(r"\s+", " ", self.run("-E", "-P", str(self.header)))
        functions = sorted(set(re.findall(r"\b(tokenpin_\w+) ?\(", text)))
        structs = sorted(set(re.findall(r"struct (tokenpin_\w+) \{", text)))
        lines = [f'#include "{self.header.resolve()}"']
        # A declaration without a use leaves no trace in DWARF, but a variable of its type does.
        lines += [f"__typeof__(&{name}) function_{name} = {name};" for name in functions]
        lines += [f"char align_{name}[_Alignof(struct {name})];" for name in structs]
        source, built = self.scratch / "abi.c", self.scratch / "abi.o"
        source.write_text("\n".join(lines) + "\n")
        self.run("-g", "-c", "-fno-eliminate-unused-debug-types", str(source), "-o", str(built))
        with built.open("rb") as file:
            elf = ELFFile(file)
            self.add("target", f"{elf.elfclass} bits, {'little' if elf.little_endian else 'big'}-endian")
            entries = [
                entry for unit in elf.get_dwarf_info().iter_CUs() for entry in unit.get_top_DIE().iter_children()
            ]
            aligns = {name(entry)[6:]: bounds(entry)[0] for entry in entries if name(entry).startswith("align_")}
            for entry in entries:
                if name(entry).startswith("function_"):
                    pointee = of(entry).get_DIE_from_attribute("DW_AT_type")
                    self.add(f"function {name(entry)[9:]}", spelled(pointee))
                elif name(entry).startswith("tokenpin_"):
                    self.type(entry, aligns)

    def type(self, entry, aligns):
        kind = entry.tag.removeprefix("DW_TAG_").removesuffix("_type").removesuffix("ure")
        if kind == "typedef":
            self.add(f"typedef {name(entry)}", spelled(of(entry)))
        elif kind == "enumeration":
            self.add(f"enum {name(entry)}", "")
            for value in entry.iter_children():
                self.add(f"value {name(entry)}.{name(value)}", value.attributes["DW_AT_const_value"].value)
        elif kind == "struct" and "DW_AT_declaration" in entry.attributes:
            self.add(f"struct {name(entry)}", "opaque")
        elif kind == "struct":
            size = entry.attributes["DW_AT_byte_size"].value
            self.add(f"struct {name(entry)}", f"size {size}, alignment {aligns[name(entry)]}")
            for field in entry.iter_children():
                if "DW_AT_bit_size" in field.attributes:
                    raise SystemExit(f"abi.py: {name(entry)}.{name(field)} is a bit field")
                offset = field.attributes["DW_AT_data_member_location"].value
                self.add(f"field {name(entry)}.{name(field)}", f"at {offset}, {spelled(of(field))}")
        elif kind != "subprogram":
            raise SystemExit(f"abi.py: cannot describe {name(entry)}, a {entry.tag}")

    def library(self, path):
        with open(path, "rb") as file:
            elf = ELFFile(file)
            sonames = [tag.soname for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_SONAME")]
            self.add("soname", " ".join(sonames))
            for symbol in sorted(elf.get_section_by_name(".dynsym").iter_symbols(), key=lambda symbol: symbol.name):
                if symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["bind"] == "STB_GLOBAL":
                    self.add(f"export {symbol.name}", symbol["st_info"]["type"].removeprefix("STT_").lower())


def name(entry):
    attribute = entry.attributes.get("DW_AT_name")
    return attribute.value.decode() if attribute else ""


def of(entry):
    return entry.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in entry.attributes else None


def bounds(entry):
    """The lengths of an array, of the variable or of the array type itself."""
    array = of(entry) if entry.tag == "DW_TAG_variable" else entry
    return [part.attributes["DW_AT_upper_bound"].value + 1 for part in array.iter_children()]


def spelled(entry):
    """A type as C spells it, typedefs by their names."""
    if entry is None:
        return "void"
    if entry.tag in ("DW_TAG_base_type", "DW_TAG_typedef"):
        return name(entry)
    if entry.tag in ("DW_TAG_structure_type", "DW_TAG_enumeration_type"):
        return ("struct " if entry.tag == "DW_TAG_structure_type" else "enum ") + name(entry)
    if entry.tag == "DW_TAG_pointer_type":
        return f"{spelled(of(entry))} *"
    if entry.tag == "DW_TAG_const_type":
        return f"const {spelled(of(entry))}"
    if entry.tag == "DW_TAG_array_type":
        return spelled(of(entry)) + "".join(f"[{length}]" for length in bounds(entry))
    if entry.tag == "DW_TAG_subroutine_type":
        parameters = [
            "..." if each.tag == "DW_TAG_unspecified_parameters" else spelled(of(each))
            for each in entry.iter_children()
        ]
        return f"{spelled(of(entry))} ({', '.join(parameters) or 'void'})"
    raise SystemExit(f"abi.py: cannot spell a {entry.tag}")


def text_of(facts):
    return "".join(f"{name}: {value}".rstrip() + "\n" for name, value in facts.items())


def facts_of(text):
    return {name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())}


def number(text, word):
    return int(re.search(rf"\b{word} (\d+)", text).group(1))


def incompatible(old, new):
    """Returns the changes from `old` to `new` that break a program compiled against `old`."""
    found = []
    for fact, value in old.items():
        if fact not in new:
            found.append(f"gone: {fact}: {value}")
        elif new[fact] != value:
            kind, _, what = fact.partition(" ")
            grown = kind == "struct" and what in SIZE_PREFIXED and number(new[fact], "size") > number(value, "size")
            if not (grown and number(new[fact], "alignment") == number(value, "alignment")):
                found.append(f"changed: {fact}: {value}, now {new[fact]}")
    numbers = set()
    for fact, value in new.items():
        kind, _, what = fact.partition(" ")
        owner = what.partition(".")[0]
        if kind == "field" and fact not in old and f"struct {owner}" in old:
            # Nor may it use padding, where a program may have left anything.
            size = number(old[f"struct {owner}"], "size") if owner in SIZE_PREFIXED else None
            if size is None or number(value, "at") < size:
                found.append(f"a field within what programs know: {fact}: {value}")
        if kind == "value":
            if (owner, value) in numbers:
                found.append(f"a number used twice: {fact}: {value}")
            numbers.add((owner, value))
    return found


# (what, pattern, replacement): changes of the header that must be refused.
REFUSED = [
    ("a field moved", r"(uint32_t weight;)(.*?)(uint8_t state;)", r"\3\2\1"),
    ("a field gone", r"uint8_t carrier;\n\} tokenpin_request;", r"} tokenpin_request;"),
    ("a field in padding", r"\} tokenpin_request;", r"uint8_t planted;\n} tokenpin_request;"),
    ("a field in the configuration's padding", r"\} tokenpin_config;", r"uint8_t planted;\n} tokenpin_config;"),
    ("a longer array", r"uint8_t id\[16\];", r"uint8_t id[24];"),
    ("another alignment", r"uint8_t id;", r"_Alignas(2) uint8_t id;"),
    ("a field's type", r"uint32_t skew;", r"int32_t skew;"),
    ("a constant's value", r"(#define TOKENPIN_MAX_KEY) .*", r"\1 4095"),
    ("a constant gone", r"#define TOKENPIN_MAX_SCOPE .*", r""),
    ("a status renumbered", r"TOKENPIN_STATUS_STALE = 44", r"TOKENPIN_STATUS_STALE = 46"),
    ("a status gone", r"TOKENPIN_STATUS_STALE = 44,", r""),
    ("a status's number used again", r"(TOKENPIN_STATUS_STALE = 44,)", r"\1 TOKENPIN_STATUS_PLANTED = 44,"),
    ("an enum's width", r"typedef uint8_t tokenpin_state;", r"typedef uint16_t tokenpin_state;"),
    ("a parameter's type", r"(tokenpin_jump\(uint64_t key, )uint32_t", r"\1uint64_t"),
    ("a parameter's const", r"(tokenpin_slot_get\()const ", r"\1"),
    ("a parameter more", r"(tokenpin_jump\(uint64_t key,)", r"\1 int planted,"),
    ("a result's type", r"uint32_t (tokenpin_abi_version)", r"uint64_t \1"),
    ("a declaration gone", r"int32_t tokenpin_jump\([^;]*;", r""),
]
ALLOWED = [
    ("a new function", r"(int32_t tokenpin_jump\()", r"int32_t tokenpin_planted(void);\n\1"),
    ("a new constant", r"(#define TOKENPIN_MAX_KEY .*)", r"\1\n#define TOKENPIN_PLANTED 1"),
    ("a new status", r"(TOKENPIN_STATUS_STALE = 44,)", r"\1 TOKENPIN_STATUS_PLANTED = 999,"),
    ("a new structure", r"(typedef struct tokenpin_cookie_key \{)", r"struct tokenpin_planted { int a; };\n\1"),
    ("a longer configuration", r"\} tokenpin_config;", r"uint64_t planted;\n} tokenpin_config;"),
    ("a parameter's name", r"tokenpin_jump\(uint64_t key", r"tokenpin_jump(uint64_t planted"),
]


def stub(compiler, scratch, symbols, soname):
    """A library with only these symbols and this name."""
    source, built = scratch / "stub.c", scratch / "stub.so"
    source.write_text("".join(f"void {symbol}(void);\nvoid {symbol}(void) {{}}\n" for symbol in symbols))
    flags = ["-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}"]
    subprocess.run([*compiler.split(), *flags, str(source), "-o", str(built)], check=True)
    return built


def misjudged(compiler, header, baseline, scratch):
    """Plants changes, and yields those with a wrong verdict."""
    original = header.read_text()
    soname = baseline["soname"]
    symbols = [fact.removeprefix("export ") for fact in baseline if fact.startswith("export ")]

    def judge(text, symbols, soname):
        planted = scratch / "tokenpin.h"
        planted.write_text(text)
        library = stub(compiler, scratch, symbols, soname)
        return incompatible(baseline, Interface(compiler, planted, library, scratch).facts)

    if judge(original, symbols, soname):
        yield "the header itself with an empty library"
    if not judge(original, symbols[1:], soname):
        yield "an export gone was not noticed"
    if not judge(original, symbols, "libtokenpin.so.9"):
        yield "another SONAME was not noticed"
    if judge(original, [*symbols, "tokenpin_planted"], soname):
        yield "a new export was refused"
    for changes, wanted in ((REFUSED, True), (ALLOWED, False)):
        for what, pattern, replacement in changes:
            text, count = re.subn(pattern, replacement, original, count=1, flags=re.S if ".*?" in pattern else 0)
            if count != 1:
                yield f"{what}: the header has no {pattern}"
            elif bool(judge(text, symbols, soname)) != wanted:
                yield f"{what} was {'not noticed' if wanted else 'refused'}"


def differences(compiler, facts, header, library, scratch):
    """Returns how the header without preprocessor differs. It has only the numbers of constants,
    without their types."""
    complete = scratch / "complete.h"
    complete.write_text(f"#include <stddef.h>\n#include <stdint.h>\n{header.read_text()}")
    of_header = Interface(compiler, complete, library, scratch).facts
    constants = [fact for fact in facts if fact.startswith("constant ")]
    numbers = dict(re.findall(r"(TOKENPIN_\w+) = (\d+),", header.read_text().partition("};")[0]))
    for constant in constants:
        value, name = facts[constant].rstrip("U"), constant.removeprefix("constant ")
        if value.isdigit() and int(value) < 2**32 and numbers.get(name) != value:
            yield f"{constant} is {numbers.get(name)}"
    for fact in {**facts, **of_header}:
        if fact not in constants and facts.get(fact) != of_header.get(fact):
            yield f"{fact} is {of_header.get(fact)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--header", type=pathlib.Path, required=True)
    parser.add_argument("--ffi", type=pathlib.Path, required=True, help="the header without preprocessor")
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--baseline", type=pathlib.Path, required=True)
    parser.add_argument("--write", action="store_true", help="make the baseline what is there now")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        facts = Interface(options.cc, options.header, options.library, scratch).facts
        if options.write:
            options.baseline.write_text(text_of(facts))
            return
        for each in (different := list(differences(options.cc, facts, options.ffi, options.library, scratch))):
            print(f"abi.py: in {options.ffi}, {each}")
        if different:
            sys.exit("abi.py: the headers differ; `make bindings` writes both")
        baseline = facts_of(options.baseline.read_text())
        problems = incompatible(baseline, facts)
        for problem in problems:
            print(f"abi.py: {problem}")
        if problems:
            sys.exit("abi.py: the interface has changed; docs/proofs/stability.md says when it may")
        new = [fact for fact in facts if fact not in baseline or facts[fact] != baseline[fact]]
        for fact in new:
            print(f"abi.py: new, which is allowed; `make abi-baseline` takes it in: {fact}: {facts[fact]}")
        wrong = list(misjudged(options.cc, options.header, baseline, scratch))
        for each in wrong:
            print(f"abi.py: {each}")
        planted = len(REFUSED) + len(ALLOWED) + 4
        print(f"{len(baseline)} facts as they were; {planted - len(wrong)} of {planted} planted changes judged rightly")
        sys.exit(bool(wrong))


main()
