"""The schema of the configuration against parsers of it: what the one refuses the others do, and
the reverse.

    schema.py NAME=COMMAND...

Each command is a parser. It reads lines, each a kind (`filter`, `route` or `states`), a tab and a
configuration as JSON, and writes a line for each: why it is refused, with the path in front, or
nothing. Its environment is that of `ENVIRONMENT`. What one gateway refuses besides stands under its
name in `NOT_HERE`.

The configurations come from the schema. For each property, in every object that has it: valid
values, values of other types, out of range, too long and too short, and an unknown neighbour. Then
many of these in one.
"""

import copy
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile

import jsonschema_rs

SCHEMA = json.loads((pathlib.Path(__file__).parent.parent / "config.schema.json").read_text())
RANDOM_CASES = 600
LONG = 40  # a list or text over this is not drawn into the random cases: they would be megabytes
ENVIRONMENT = {f"SCHEMA_KEY_{number}": f"{number:032x}" for number in range(1, 40)}

# Texts that a pattern allows, and that it does not. A new pattern needs a line here.
PATTERNS = {
    r"^[0-9]+$": ([], ["", "x", "1e2", "-1", "+1", " 1", "0x1"]),
    r"^(auto|[0-9]+)$": (["auto"], ["", "never", "Auto", "auto "]),
    r"^[^\u0000]*$": (["", "plain", "\u00e4\U0001f600", " "], ["a\0b"]),
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$": (["x-one", "X-Two", "a!#$%&'*+.^_`|~9"], ["", "a b", "a:", "\u00e4", "a\n"]),
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]*$": (["", "pin", "__Host-pin"], ["a b", "a=", "\u00e4"]),
    r"^([!-~][ -~]*)?$": (["", "Bearer ", "k="], [" Bearer", "a\nb", "\u00e4"]),
    r"^[ -~]*[!-~]$": (["sk-1", "a b"], ["", "sk ", "a\nb", "\u00e4", "a\0b"]),
    r"^[^/*%?#\u0000]+(/(\*[^/*%?#\u0000]*|[^/*%?#\u0000]+))*$": (
        ["a", "a/b", "a/*", "models/*:run", "\u00e4"],
        ["", "/a", "a/", "a//b", "*", "*/a", "a/b*", "a/**", "a%", "a?", "a/#"],
    ),
    r"^(/[ -:<-~]*)?$": (["", "/", "/v1"], ["v1", "/;", "/\u00e4", "/\n"]),
    r"^[ -:<-~]*$": (["", "example.org"], [";", "\u00e4", "\n"]),
    r"^[A-Za-z0-9_-]+$": (["resp_", "x-"], ["", "a b", "\u00e4"]),
    r"^[^/]+$": (["things", "a b"], ["", "a/b", "/"]),
}
WRONG_TYPES = [None, True, 7, -1, 1.5, "\u00e4", "sk-planted", [], ["x"], {}, {"x": 1}]

# The rules that JSON Schema cannot express. Each line: what it is about, an example, and how the
# refusal begins. A refusal of what the schema accepts has to be one of these.
BASE_TOKEN = {"name": "a"}
RING_KEY = {"id": 1, "role": "sign", "key": {"env": "SCHEMA_KEY_2"}}
RING_KEY_2 = {"id": 2, "role": "accept", "key": {"env": "SCHEMA_KEY_3"}}


def credential(**fields):
    return {"tokens": [{**BASE_TOKEN, "headers": [{"name": "x", **fields}]}]}


NOT_SAID = [
    ("bytes of UTF-8 are counted", {"scope": "\u00e4" * 513}, r"scope: is over 1024 bytes"),
    (
        "bytes of UTF-8 are counted",
        {"id_fields": [{"name": "\u00e4" * 17, "kind": "id"}]},
        r"id_fields\[\d+\]: An addition",
    ),
    ("the range of digits that are text", {"capacity": "65537"}, r".*: expected a whole number, "),
    ("a number is written without a fraction", {"capacity": 2.0}, r".*: expected a whole number, "),
    ("names of headers in other letters", {"carrier_header": "Cookie"}, r".*: is not for the (filter|gateway) to set"),
    (
        "where a secret is, and what is in it",
        {"placement_key": {"env": "SCHEMA_UNSET"}},
        r".*\.env: the environment variable is not set",
    ),
    (
        "where a secret is, and what is in it",
        {"placement_key": {"file": "/nowhere"}},
        r".*\.file: the file cannot be read",
    ),
    (
        "where a secret is, and what is in it",
        {"placement_key": {"env": "SCHEMA_SHORT"}},
        r".*: the key is not 32 hexadecimal digits",
    ),
    ("where a secret is, and what is in it", {"placement_key": {"env": "SCHEMA_ZERO"}}, r".*: The secret is all zero"),
    (
        "where a secret is, and what is in it",
        credential(env="SCHEMA_LINES"),
        r"tokens\[\d+\]\.headers\[\d+\]: the value cannot stand in a header",
    ),
    (
        "where a secret is, and what is in it",
        credential(env="SCHEMA_EMPTY"),
        r"tokens\[\d+\]\.headers\[\d+\]: the value is empty",
    ),
    (
        "a value without a prefix begins with no space",
        credential(value=" a"),
        r"tokens\[\d+\]\.headers\[\d+\]: the value cannot stand in a header",
    ),
    (
        "what a pseudo-header is",
        credential(name=":path", value="x"),
        r"tokens\[\d+\]\.headers\[\d+\]: the value cannot stand in this pseudo-header",
    ),
    ("two of a list", {"tokens": [BASE_TOKEN, BASE_TOKEN]}, r"tokens \(a\): Two slots have the same identity"),
    ("two of a list", {"tokens": [{**BASE_TOKEN, "slot": 1}, {"name": "b"}]}, r"tokens\[1\]: its slot is taken"),
    (
        "two of a list",
        {"tokens": [{**BASE_TOKEN, "headers": [{"name": "x", "value": "1"}, {"name": "X", "value": "2"}]}]},
        r"tokens\[\d+\]\.headers\[1\]: a header is given twice",
    ),
    (
        "two of a list",
        {"cookie_keys": [RING_KEY, {**RING_KEY_2, "id": 1}]},
        r"(cookie|id)_keys\[\d\]: Two cookie keys have the same id",
    ),
    (
        "two of a list",
        {"cookie_keys": [RING_KEY, {**RING_KEY_2, "key": RING_KEY["key"]}]},
        r"(placement_key|(cookie|id)_keys\[\d\]): The secret is used twice",
    ),
    (
        "one key of a ring signs",
        {"cookie_keys": [RING_KEY_2]},
        r"(cookie|id)_keys\[\d\]: Not exactly one cookie key signs",
    ),
    (
        "slots and the capacity",
        {"capacity": 1, "tokens": [BASE_TOKEN, {"name": "b"}]},
        r"tokens\[\d+\]: its slot is not below the capacity",
    ),
    ("the order of two statuses", {"success": [300, 200]}, r"success: The success range is empty"),
    (
        "statuses that an entry before has settled",
        {"cooldowns": [{"status": [429], "state": "down", "seconds": 1}] * 2},
        r"cooldowns\[\d+\]\.status: has a status that an entry without headers has already",
    ),
    (
        "what __Host- and Secure ask for",
        {"cookie": {"domain": "x"}},
        r"cookie\.\w+: (A cookie's name with __Host-|SameSite=None and Partitioned)",
    ),
    (
        "headers with two uses",
        {"carrier_header": "x", "session": [{"header": "X"}]},
        r"(carrier|response)_header: is the header of another setting",
    ),
]
# The configurations that only one gateway refuses, in the same form.
NOT_HERE = {
    "nginx": [
        (
            "nginx has no such value",
            {"consumer": {"metadata": {"namespace": "a", "key": "b"}}},
            r".*\.metadata: nginx has none",
        ),
        ("nginx has no such value", {"session": [{"filter_state": "x"}]}, r".*\.filter_state: nginx has none"),
        (
            "proxy_pass says what a pseudo-header is",
            credential(name=":authority", value="x"),
            r"tokens\[\d+\]\.headers\[\d+\]\.name: nginx sends what proxy_pass",
        ),
        (
            "the location is chosen already",
            {"clear_route_cache": True},
            r"clear_route_cache: nginx has chosen the location",
        ),
        (
            "statuses after which nginx tries again",
            {"retry": {"status": [401]}},
            r"retry\.status\[\d+\]: nginx sends a request again only after",
        ),
        (
            "numbers that Lua cannot tell apart",
            {"max_held_bodies": 2**60},
            r"max_held_bodies: expected a whole number, 1 to 9007199254740992$",
        ),
    ],
    "wasm": [
        ("a VM reads no files", {"placement_key": {"file": "/key"}}, r".*\.file: a WebAssembly VM reads no files"),
        ("a VM reads no files", {"state_file": "/states"}, r"state_file: a WebAssembly VM reads no files"),
        ("the router retries", {"retry": {"status": [429]}}, r"retry: "),
    ],
}
# Texts that are no configuration, and how they are refused: of a number the form counts, also where
# it is whole.
NO_NUMBER, NO_JSON = r"capacity: expected a whole number, 1 to 65536$", r"no valid JSON at line 1, column \d+$"
TEXTS = [
    *[
        (
            '{"placement_key": {"env": "SCHEMA_KEY_1"}, "tokens": [{"name": "a"}], "capacity": %s, '
            '"cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "SCHEMA_KEY_2"}}]}' % number,
            refusal,
        )
        for refusal, numbers in [
            (NO_NUMBER, ["1.0", "1e3", "1E0", "10e-1", "-0", "0.5", "9" * 40, '"1.0"', '"-0"', '"1e3"', '" 1"', '""']),
            (NO_JSON, ["01", "1.", ".1", "+1", "1e", "0x1", "NaN", "1_0"]),
        ]
        for number in numbers
    ],
    *[
        (text, NO_JSON)
        for text in [
            " ",
            "nul",
            "{}x",
            "{},",
            '{"scope":"x",}',
            "{'scope':'x'}",
            '{"scope":"x"} // why',
            '{"scope":"\\ud800"}',
            '{"scope":"\x01"}',
            "{" * 3000,
            "[" * 3000,
            '{"scope":' * 3000,
        ]
    ],
    *[(text, r"expected an object$") for text in ["[]", "null", '"{}"', "7", "true"]],
    *[
        (text, r"tokens: (is )?given twice$")
        for text in ['{"tokens":[],"tokens":[]}', '{"tokens":[],"\\u0074okens":[]}']
    ],
]
# The kinds that a gateway does not have.
NONE_HERE = {"wasm": {"states"}}
ENVIRONMENT |= {
    "SCHEMA_SHORT": "0",
    "SCHEMA_ZERO": "0" * 32,
    "SCHEMA_LINES": "a\nb",
    "SCHEMA_EMPTY": "",
    "SCHEMA_CREDENTIAL": "sk-of-the-environment",
}


def resolved(node):
    """The node with what it refers to."""
    while "$ref" in node:
        target = SCHEMA
        for word in node["$ref"].removeprefix("#").strip("/").split("/"):
            target = target[word] if word else target
        node = {**target, **{name: value for name, value in node.items() if name != "$ref"}}
    return node


class Examples:
    """Values that the schema allows, and values that it does not, of a node of it."""

    def __init__(self, folder):
        self.file = str(folder / "credential")
        pathlib.Path(self.file).write_text("sk-of-a-file\n")
        self.keys = 3

    def fresh_key(self):
        self.keys += 1
        return {"env": f"SCHEMA_KEY_{4 + self.keys % 30}"}

    def least(self, node, *wanted):
        """The smallest object that may have some properties."""
        fields = [*node.get("required", [])]
        for branch in node.get("oneOf", [])[:]:
            if set(wanted) & set(branch["required"]):
                fields += branch["required"]
                break
        else:
            fields += node["oneOf"][0]["required"] if "oneOf" in node else []
        for name in [*fields, *wanted]:
            fields += node.get("dependentRequired", {}).get(name, [])
        made = {name: self.good(node["properties"][name], name)[0] for name in dict.fromkeys(fields)}
        return {
            **made,
            **({"remove": True} if "remove" in made else {}),
            **({"connection": True} if "connection" in made else {}),
        }

    def good(self, node, name=""):
        node = resolved(node)
        if name in ("env", "file"):
            return ["SCHEMA_CREDENTIAL"] if name == "env" else [self.file]
        if node.get("title") == "key":
            return [self.fresh_key()]
        if node.get("title") == "ring":
            return [
                [{**RING_KEY, "key": self.fresh_key()}],
                [{**RING_KEY, "key": self.fresh_key()}, {**RING_KEY_2, "key": self.fresh_key()}],
            ]
        if "const" in node:
            return [node["const"]]
        if "enum" in node:
            return list(node["enum"])
        if "anyOf" in node:
            return [
                value for branch in node["anyOf"] for value in self.good(branch) if value not in (":path", ":scheme")
            ]
        types = node["type"] if isinstance(node["type"], list) else [node["type"]]
        made = []
        if "integer" in types:
            low, high = node["minimum"], node["maximum"]
            made += [
                low,
                high,
                min(low + 1, high),
                *([str(low), str(high), "00" + str(low)] if "string" in types else []),
            ]
        if "boolean" in types:
            made += [True, False]
        if "string" in types:
            texts = PATTERNS[node["pattern"]][0] if "pattern" in node else ["plain"]
            made += [text for text in texts if len(text) >= node.get("minLength", 0)]
            if "maxLength" in node:
                made.append((made[-1] if made[-1] else "/")[0] + "a" * (node["maxLength"] - 1))
        if "array" in types:
            items = resolved(node["items"])
            one = self.good(items)
            made += [[one[0]] * max(1, node.get("minItems", 0)), *([] if node.get("minItems") else [[]])]
        if "object" in types:
            made += [self.least(node)]
        return made

    def bad(self, node, name=""):
        node = resolved(node)
        made = []
        if "const" in node or "enum" in node:
            allowed = node.get("enum", [node.get("const")])
            return [
                v
                for v in [*WRONG_TYPES, "SIGN", "", "none ", "up "]
                if v not in allowed or (isinstance(v, bool) and not any(v is a for a in allowed))
            ]
        if "anyOf" in node:
            return [
                v
                for v in [*WRONG_TYPES, "", ":method", ":", ":Path", "cookie", "host"]
                if not any(VALID(b, v) for b in node["anyOf"])
            ]
        types = node["type"] if isinstance(node["type"], list) else [node["type"]]
        if "integer" in types:
            made += [node["minimum"] - 1, *([node["maximum"] + 1] if node["maximum"] < 2**64 - 1 else [])]
        if "string" in types:
            made += PATTERNS[node["pattern"]][1] if "pattern" in node else []
            made += [""] if node.get("minLength") else []
            made += ["/" + "a" * node["maxLength"]] if "maxLength" in node else []
        if "array" in types:
            item = self.good(node["items"])[0]
            made += [[item] * (node["maxItems"] + 1)] if "maxItems" in node else []
            made += [[item] * (node["minItems"] - 1)] if node.get("minItems") else []
        if "object" in types:
            made += [{}] if node.get("required") or "oneOf" in node else []
        return made + [value for value in WRONG_TYPES if not VALID(node, value) and not any(value is m for m in made)]


def VALID(node, value):
    return jsonschema_rs.validator_for({**node, "$defs": SCHEMA["$defs"], "$schema": SCHEMA["$schema"]}).is_valid(value)


class Case:
    def __init__(self, name, kind, config, path=None):
        self.name, self.kind, self.config, self.path = name, kind, config, path


def cases_of(examples, node, kind, put, path, name="", valid_only_as=None):
    """The cases of a node at a place: `put` makes a whole configuration around its value."""
    node = resolved(node)
    for value in examples.good(node, name):
        yield Case(f"{path or kind} may be {json.dumps(value)[:60]}", kind, put(value))
    for value in examples.bad(node, name):
        yield Case(f"{path or kind} must not be {json.dumps(value)[:60]}", kind, put(value), path)
    types = node.get("type", "")
    if "array" in types:
        least = max(0, node.get("minItems", 1) - 1)

        def in_list(value):
            return put([copy.deepcopy(examples.good(node["items"])[0])] * least + [value])

        yield from cases_of(examples, node["items"], kind, in_list, f"{path}[{least}]")
    if "object" in types and isinstance(node.get("additionalProperties"), dict):
        yield from cases_of(examples, node["additionalProperties"], kind, lambda value: put({"a": value}), f"{path}.a")
    for each, inner in node.get("properties", {}).items():
        here = f"{path}.{each}" if path else each
        # Around the whole configuration `put` is the base already.
        around = (
            (lambda value, each=each: put({each: value}))
            if path == ""
            else (lambda value, each=each: put({**examples.least(node, each), each: value}))
        )
        yield from cases_of(examples, inner, kind, around, here, each)
    if "object" in types and node.get("additionalProperties") is False:
        least = {} if path == "" else examples.least(node)
        yield Case(
            f"{path or kind} has no unheard_of", kind, put({**least, "unheard_of": 1}), f"{path}.unheard_of".strip(".")
        )
        for missing in node.get("required", []):
            # Of the base these are looked at below.
            without = {n: v for n, v in least.items() if n != missing}
            yield Case(f"{path or kind} needs {missing}", kind, put(without), f"{path}.{missing}".strip("."))


def base(**fields):
    return {"placement_key": {"env": "SCHEMA_KEY_1"}, "cookie_keys": [RING_KEY], "tokens": [BASE_TOKEN], **fields}


def judged(command, cases):
    """The answers of a parser, one for each case."""
    return judged_texts(command, [(case.kind, json.dumps(case.config)) for case in cases])


def judged_texts(command, cases):
    lines = "".join(f"{kind}\t{text}\n" for kind, text in cases)
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(
        shlex.split(command), input=lines, capture_output=True, text=True, env=environment, check=True
    )
    said = done.stdout.split("\n")[:-1]
    assert len(said) == len(cases), f"{len(said)} lines for {len(cases)} configurations"
    return said


def related(one, other):
    """True if two paths are the same, or one of them leads to a part of the other."""
    one, other = (re.sub(r"^tokens \(.*\)", "tokens", path) for path in (one, other))
    return one.startswith(other) or other.startswith(one)


# Defects that the comparison has to see: where they stand in the schema, and what stands there
# instead.
PLANTED = [
    ("$defs/weight/maximum", 65537),
    ("$defs/until/minimum", 1),
    ("$defs/cooldown/required", ["status", "state"]),
    ("$defs/rule/additionalProperties", True),
    ("$defs/same_site/enum", ["lax", "strict"]),
    ("properties/bodies/type", ["boolean", "integer"]),
    ("$defs/route/else/properties/scope/minLength", 0),
]


def validators_of(schema):
    registry = jsonschema_rs.Registry([(schema["$id"], schema)])
    parts = {"filter": "", "route": "/$defs/route", "states": "/$defs/states"}
    return {
        kind: jsonschema_rs.validator_for(
            {"$schema": schema["$schema"], "$ref": f"{schema['$id']}#{part}"}, registry=registry
        )
        for kind, part in parts.items()
    }


def planted():
    for place, value in PLANTED:
        schema = copy.deepcopy(SCHEMA)
        *way, last = place.split("/")
        node = schema
        for word in way:
            node = node[word]
        assert node[last] != value
        node[last] = value
        yield place, validators_of(schema)


def main(judges, seed):
    jsonschema_rs.meta.validate(SCHEMA)
    route, states = SCHEMA["$defs"]["route"], SCHEMA["$defs"]["states"]
    validators = validators_of(SCHEMA)
    with tempfile.TemporaryDirectory() as folder:
        examples = Examples(pathlib.Path(folder))
        cases = [Case("nothing is accepted", "filter", {}), Case("a route may change nothing", "route", {})]
        cases += cases_of(
            examples,
            SCHEMA,
            "filter",
            lambda fields: base(**fields) if isinstance(fields, dict) and fields != {"x": 1} else fields,
            "",
        )
        cases += cases_of(examples, route["else"], "route", lambda fields: fields, "")
        cases += cases_of(
            examples,
            states,
            "states",
            lambda fields: {"tokens": {}, **fields} if fields == {"unheard_of": 1} else fields,
            "",
        )
        cases += [Case("a route may be complete", "route", base()), Case("states need tokens", "states", {}, "tokens")]
        for missing in ("placement_key", "cookie_keys", "tokens"):
            less = {name: value for name, value in base().items() if name != missing}
            cases.append(Case(f"a configuration needs {missing}", "filter", less, missing))
        cases.append(Case("replace_rules needs rules", "filter", base(replace_rules=True), "replace_rules"))
        failures = []
        for about, fields, _ in [*NOT_SAID, *sum(NOT_HERE.values(), [])]:
            if not validators["filter"].is_valid(base(**fields)):
                failures.append(f"the schema does say it: {about}: {fields}")

        # Many together.
        draws = random.Random(seed)
        pool = [
            c
            for c in cases
            if c.kind == "filter" and c.config and isinstance(c.config, dict) and len(json.dumps(c.config)) < 2000
        ]
        good = [case for case in pool if validators["filter"].is_valid(case.config)]
        mixed = []
        for number in range(RANDOM_CASES):
            fields = {}
            for _ in range(draws.randint(2, 8)):
                # Half of the configurations are good by themselves.
                chosen = draws.choice(good if number % 2 else pool).config
                fields.update({name: value for name, value in chosen.items() if base().get(name) != value})
            mixed.append(Case(f"random configuration {number}", "filter", base(**fields)))
        for name, command in judges.items():
            failures += [f"{name}: {failure}" for failure in failures_of(name, command, validators, cases, mixed)]
    accepted = sum(validators[case.kind].is_valid(case.config) for case in mixed)
    print(
        f"{len(cases)} configurations made from the schema, {len(NOT_SAID)} that it cannot tell, "
        f"{len(mixed)} at random ({accepted} valid), seed {seed}; parsers: {', '.join(judges)}"
    )
    for failure in failures[:40]:
        print(f"FAILED: {failure}")
    if failures or accepted < RANDOM_CASES // 8:
        sys.exit(f"{len(failures)} failed; SCHEMA_SEED={seed} brings them back")


def value_at(config, path):
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        config = config[name] if name else config[int(index)]
    return config


def failures_of(name, command, validators, cases, mixed):
    """The defects of one parser, or of the schema beside it."""
    own = NOT_HERE.get(name, [])
    cases = [case for case in cases if case.kind not in NONE_HERE.get(name, ())]
    said = judged(command, cases)
    failures = compare(said, validators, cases, own, checked_paths=True)
    failures += [
        f"planted, and not seen: {place}" for place, wrong in planted() if not compare(said, wrong, cases, own)
    ]
    told = [*NOT_SAID, *own]
    answers = judged(command, [Case(about, "filter", base(**fields)) for about, fields, _ in told])
    for (about, fields, refusal), answer in zip(told, answers):
        if not begins(refusal, answer) and not is_one_of(own, answer):
            failures.append(f"{about}: {json.dumps(fields)}: {answer or 'accepted'}")
    for (text, refusal), answer in zip(TEXTS, judged_texts(command, [("filter", text) for text, _ in TEXTS])):
        if not re.match(refusal, answer):
            failures.append(f"no configuration: {text[:200]}: {answer or 'accepted'}")
    return failures + compare(judged(command, mixed), validators, mixed, own)


def is_one_of(told, refusal):
    return any(begins(start, refusal) for _, _, start in told)


def begins(start, refusal):
    """The errors of the core begin with a small letter in Rust, and are sentences in C."""
    return re.match(start, refusal, re.I)


def cannot_be_said(config, refusal, own):
    """True if a refusal is one of those that JSON Schema cannot tell, or of the gateway's own."""
    if is_one_of(own, refusal):
        return True
    if "expected a whole number" in refusal:
        return isinstance(value_at(config, refusal.split(": ")[0]), (str, float))
    return is_one_of(NOT_SAID, refusal)


def compare(answers, validators, cases, own, checked_paths=False):
    failures = []
    for case, said in zip(cases, answers):
        allowed = validators[case.kind].is_valid(case.config)
        shown = f"{case.name}: {json.dumps(case.config)[:400]}"
        if allowed and said and not cannot_be_said(case.config, said, own):
            failures.append(f"only the parser refuses: {shown}: {said}")
        if not allowed and not said:
            errors = "; ".join(e.message for e in validators[case.kind].iter_errors(case.config))
            failures.append(f"only the schema refuses: {shown}: {errors[:200]}")
        if checked_paths and case.path is not None and allowed and not said:
            failures.append(f"neither refuses: {shown}")
        if (
            checked_paths
            and not allowed
            and said
            and case.path
            and not is_one_of(own, said)
            and not related(said.rpartition(": ")[0].split(": ")[0], case.path)
        ):
            failures.append(f"the path is another: {shown}: {said}")
        if "sk-planted" in said or "sk-of-" in said:
            failures.append(f"a value is shown: {shown}: {said}")
    return failures


if __name__ == "__main__":
    main(
        dict(judge.split("=", 1) for judge in sys.argv[1:]),
        int(os.environ.get("SCHEMA_SEED") or random.SystemRandom().getrandbits(32)),
    )
