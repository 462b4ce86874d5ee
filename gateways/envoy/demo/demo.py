"""The demo: real OpenAI clients through the real Envoy with the tokenpin filter.

    PYTHONPATH=gateways/envoy/tests/harness \\
        build/venv/bin/python gateways/envoy/demo/demo.py build [--smoke]

`make demo` first builds the filter and installs the packages. The phases of the two parts state the
promises; this program runs them and prints their table. Exits with 0 only if every promise was
kept.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import secrets
import shutil
import signal
import sys

import stack
from stage import WEIGHTS, Provider, settings
from with_cookies import WithCookies
from without_cookies import WithoutCookies, clients


@dataclasses.dataclass(frozen=True)
class Size:
    sessions: int  # of each kind
    follow_ups: int
    consumers: int  # whose placement is compared in phase (d)
    streams: list  # of the part without cookies: the values of `stream`
    calls: int  # of each of its sessions, beside those that begin it


FULL = Size(sessions=24, follow_ups=6, consumers=3000, streams=[False, True], calls=4)
SMOKE = Size(sessions=8, follow_ups=2, consumers=600, streams=[True], calls=2)


def print_table(title, rows):
    heads = ["sessions", "follow-ups", "404", "503", "lost", "other", "tokens", "moved"]
    label_width = max(len(row.label) for row in rows)
    promise_width = max(len(row.promise) for row in rows)
    print(f"\n{title:{label_width}}  " + "  ".join(heads) + "  promise")
    for row in rows:
        t = row.tally
        numbers = [t.sessions, t.follow_ups, t.not_found, t.unavailable, t.lost]
        numbers += [t.other_errors, len(t.accounts), t.moved]
        cells = "  ".join(f"{n:>{len(head)}}" for n, head in zip(numbers, heads))
        verdict = "" if row.promise == "none" else "kept" if row.kept else "BROKEN"
        line = f"{row.label:{label_width}}  {cells}  {row.promise:{promise_width}}  {verdict}"
        print(line.rstrip())


def stop_on_signals(cleanup):
    """Stops everything on Ctrl-C and on SIGTERM."""

    def stop(number, _):
        # Python drops an exception that is raised in a finaliser, so none is raised here.
        cleanup.close()
        os._exit(128 + number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def run(build, size):
    folder = build / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    tokens = {stack.variable_of(account): "sk-demo-" + secrets.token_hex(16) for account in WEIGHTS}
    keys = {"PLACEMENT_KEY": secrets.token_hex(16), "COOKIE_KEY": secrets.token_hex(16)}

    with contextlib.ExitStack() as cleanup:
        stop_on_signals(cleanup)
        print("* the provider and Envoy start", flush=True)
        provider = Provider(tokens)
        cleanup.callback(provider.process.stop)
        route = {"match": {"prefix": "/"}, "route": {"cluster": "provider"}}
        clusters = [stack.cluster("provider", provider.port)]
        envoys = []
        for number in (1, 2):
            envoy = stack.Envoy(folder / f"envoy-{number}", build / "envoy", {**tokens, **keys})
            envoy.configuration = stack.bootstrap([envoy.filter()], [route], clusters)
            cleanup.callback(envoy.stop)
            envoys.append(envoy)
        envoys[0].start(settings())

        stage = (size, provider, *envoys)
        without = WithoutCookies(*stage, folder=folder, commands=clients(build))
        cleanup.callback(without.close)
        parts = {"with cookies": WithCookies(*stage), "sealed ids, no cookie": without}
        titles = {
            "a": "(a) without affinity",
            "b": "(b) with tokenpin",
            "c": "(c) a token fails and comes back",
            "d": "(d) a token is added",
            "e": "(e) Envoy is restarted",
            "f": "(f) two Envoys with the same keys",
        }
        for part, demo in parts.items():
            for phase, title in titles.items():
                print(f"* {title}: {part}", flush=True)
                getattr(demo, f"phase_{phase}")()
        counters = provider.control("GET", "counters")

    for part, demo in parts.items():
        print_table(part, demo.rows)
    print("\nlost: answered as a success, but without the session's earlier content")
    print("moved: sessions with an answer from an account that did not begin them\n")
    kept = {
        "the affinity cookie never reached the provider": counters["cookie_seen"] == 0,
        "no sealed id reached the provider": counters["sealed_seen"] == 0,
        "every request reached it with a token": counters["unknown_token"] == 0,
    }
    for promise, held in kept.items():
        print(f"{promise}: {'kept' if held else 'BROKEN'}")
    rows = [row for demo in parts.values() for row in demo.rows]
    promises = [row.kept for row in rows if row.promise != "none"] + list(kept.values())
    print(f"{sum(promises)} of {len(promises)} promises kept")
    return 0 if all(promises) else 1


def main():
    parser = argparse.ArgumentParser(description="tokenpin on real traffic")
    parser.add_argument("build", type=pathlib.Path, help="the folder with the built filter")
    parser.add_argument("--smoke", action="store_true", help="few sessions, for the test suite")
    arguments = parser.parse_args()
    try:
        return run(arguments.build.resolve(), SMOKE if arguments.smoke else FULL)
    except RuntimeError as failure:
        return f"failed: {failure}"


if __name__ == "__main__":
    sys.exit(main())
