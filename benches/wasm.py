"""The price of the filter for proxy-wasm in a real Envoy, compared with the dynamic module, a
plugin that does nothing, and a few lines of Lua that only set a header.

Uses the bench of gateways.py: one Envoy has a listener for each chain, loaded in another order in
every round.
"""

import argparse
import json
import pathlib
import statistics

import figures
from gateways import HTTP, TYPES, compare, cookie_of, measure, settings, tokenpin_filter, without_filter

# About the minimum that a gateway must do itself: read the cookies, and set the credential.
LUA = """
function envoy_on_request(handle)
  local cookies = handle:headers():get("cookie")
  handle:headers():replace("authorization", "Bearer sk-" .. (cookies and "1" or "0"))
end
function envoy_on_response(handle)
end
"""


def lua_filter():
    kind = f"{HTTP}.lua.v3.Lua"
    code = {"inline_string": LUA}
    return {"name": "lua", "typed_config": {"@type": kind, "default_source_code": code}}


def wasm_filter(path, **fields):
    names = ["TOKENPIN_PLACEMENT_KEY", "TOKENPIN_COOKIE_KEY"]
    config = {
        "name": path.stem,
        "allow_on_headers_stop_iteration": True,
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(path.resolve())}},
            "environment_variables": {"host_env_keys": names},
        },
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": json.dumps(settings(**fields)),
        },
    }
    kind = {"@type": f"{TYPES}.filters.http.wasm.v3.Wasm", "config": config}
    return {"name": path.stem, "typed_config": kind}


def requests(ports):
    ours, theirs = cookie_of(ports["tokenpin.wasm"]), cookie_of(ports["the dynamic module"])
    yield "no filter", "no filter", {}
    yield "no filter, cookie", "no filter", ours
    yield "a plugin that does nothing, cookie", "a plugin that does nothing", ours
    yield "Lua, cookie", "Lua", ours
    for name, cookie in (("the dynamic module", theirs), ("tokenpin.wasm", ours)):
        yield f"{name}, minting", name, {}
        yield f"{name}, cookie", name, cookie
        yield f"{name}, consumer", name, {"x-consumer": "alice"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=pathlib.Path, required=True, help="folder of the libraries")
    parser.add_argument("--wasm", type=pathlib.Path, required=True, help="folder of the plugins")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for logs and results")
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--seconds", type=int, default=1, help="of one run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--document", type=pathlib.Path, help="gets the table")
    arguments = parser.parse_args()
    chains = {
        "no filter": [],
        "a plugin that does nothing": [wasm_filter(arguments.wasm / "empty.wasm")],
        "Lua": [lua_filter()],
        "the dynamic module": [tokenpin_filter()],
        "tokenpin.wasm": [wasm_filter(arguments.wasm / "tokenpin.wasm")],
    }
    rounds = measure(arguments, arguments.workers, arguments.folder, chains, requests)
    rows = []
    for name, runs in rounds.items():
        rate, p99, cpu = (statistics.median(run[what] for run in runs) for what in runs[0])
        ratio, spread = compare(rounds, name, without_filter(name), "rate")
        none = statistics.median(run["cpu"] for run in rounds[without_filter(name)])
        row = [name, figures.number(rate), f"{ratio:.3f} {spread}", f"{p99 / 1000:.2f}"]
        rows.append([*row, f"{cpu:.1f}", f"{cpu - none:+.1f}"])
    header = ["", "requests/s", "of no filter's", "p99, ms", "CPU µs a request", "over no filter's"]
    text = figures.table(header, rows)
    print(text)
    if arguments.document:
        figures.put_section(arguments.document, "wasm", text)


if __name__ == "__main__":
    main()
