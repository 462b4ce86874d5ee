"""The configurations that pages print, against the schema: whole ones, those of routes, parts, and
state files.
"""

import json
import pathlib
import re
import subprocess
import sys

import yaml
from schema import SCHEMA, base, validators_of

# The words that tell a configuration from other YAML and JSON. A block that has one of these words
# is understood, or an error.
OURS = re.compile(
    r"\b(placement_key|cookie_keys|id_keys|sealed_ids|cooldowns|carrier_header|filter_config|retry_after)\b|^tokenpin:|^retry:|\"tokens\"",
    re.M,
)
FIELDS = SCHEMA["properties"].keys()


def configurations(node, in_route=False, top=True):
    """Each configuration in a document, and its kind."""
    if isinstance(node, list):
        if node and all(isinstance(each, dict) and "status" in each for each in node):
            yield "filter", base(cooldowns=node)
            return
        for each in node:
            yield from configurations(each, in_route, False)
    if not isinstance(node, dict):
        return
    if set(node) == {"tokens"} and isinstance(node["tokens"], dict):
        yield "states", node
    elif top and node and set(node) <= FIELDS:
        yield "filter", base(**node)
    else:
        for name, value in node.items():
            if name in ("filter_config", "configuration"):
                text = value["value"]
                config = json.loads(text) if isinstance(text, str) else dict(text)
                # The field of proxy-wasm for the routes of its host.
                for route in config.pop("routes", {}).values() if name == "configuration" else ():
                    yield "route", route
                yield "route" if in_route else "filter", config
            elif (
                name in ("tokenpin", "defaultConfig", "pluginConfig")
                and isinstance(value, dict)
                and set(value) <= FIELDS
            ):
                yield "filter", base(**in_variables(value))
            else:
                yield from configurations(value, in_route or name == "typed_per_filter_config", False)


def in_variables(config):
    """True if placeholders of Spring, its own way to a secret, stand for keys."""
    config = json.loads(json.dumps(config))
    for holder, name in [
        (config, "placement_key"),
        *((key, "key") for ring in ("cookie_keys", "id_keys") for key in config.get(ring, [])),
    ]:
        if isinstance(holder.get(name), str) and holder[name].startswith("${"):
            holder[name] = {"env": holder[name]}
    return config


def main():
    validators, count, failures = validators_of(SCHEMA), 0, []
    files = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, check=True).stdout.split()
    for file in files:
        text = pathlib.Path(file).read_text()
        for block in re.finditer(r"^( *)```(yaml|json)\n(.*?)^ *```", text, re.M | re.S):
            where = f"{file}:{text.count(chr(10), 0, block.start()) + 2}"
            found = [each for document in yaml.safe_load_all(block[3]) for each in configurations(document)]
            if not found and OURS.search(block[3]):
                failures.append(f"{where}: what is it?")
            for kind, config in found:
                count += 1
                failures += [
                    f"{where}: {'.'.join(map(str, e.instance_path))}: {e.message}"
                    for e in validators[kind].iter_errors(config)
                ]
                # An unknown field is seen in each of them.
                wrong = {**config, "unheard_of": 1}
                assert not validators[kind].is_valid(wrong), where
    print(f"{count} configurations in pages")
    if failures or count < 10:
        sys.exit("\n".join(failures) or "that is too few")


if __name__ == "__main__":
    main()
