"""The demo: conversations of the real OpenAI client through the real Envoy with the tokenpin filter.

    PYTHONPATH=gateways/envoy/tests/harness build/venv/bin/python gateways/envoy/demo/demo.py build [--smoke]

`make demo` builds the filter and installs what is needed first. Here are the phases, what each
promises, and the table of what was measured. Exits with 0 only if every promise was kept.
"""

import argparse
import contextlib
import dataclasses
import http.client
import json
import math
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import stack
from sessions import CONSUMER_HEADER, WORKERS, Crowd, Tally, tally

DEMO = pathlib.Path(__file__).resolve().parent

COOKIE_NAME = "tokenpin-demo"
FALSE_ALARM = 1e-6

# The accounts in slot order with their weights, 65536 being the whole. The last one is added in
# phase (d): until then its slot is vacant.
WEIGHTS = {"alpha": 65536, "bravo": 32768, "charlie": 65536, "delta": 32768}
ADDED = "delta"


@dataclasses.dataclass(frozen=True)
class Size:
    sessions: int  # of each kind
    follow_ups: int
    consumers: int  # whose placement is compared in phase (d)


FULL = Size(sessions=40, follow_ups=6, consumers=4000)
SMOKE = Size(sessions=8, follow_ups=2, consumers=600)


@dataclasses.dataclass
class Row:
    label: str
    tally: Tally
    promise: str = "none"
    kept: bool = True


def progress(text):
    print(f"  {text}", flush=True)


def settings(down=None, added=False, **fields):
    """The filter's configuration. Every secret is named by its environment variable."""
    tokens = []
    for slot, (account, weight) in enumerate(WEIGHTS.items()):
        if account == ADDED and not added:
            continue
        credential = {"prefix": "Bearer ", "env": stack.variable_of(account)}
        token = {"name": account, "slot": slot, "weight": weight}
        token["state"] = "down" if account == down else "up"
        token["headers"] = [{"name": "authorization", **credential}]
        tokens.append(token)
    return {
        "placement_key": {"env": "PLACEMENT_KEY"},
        "cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "COOKIE_KEY"}}],
        # Not secure only because the demo speaks plain HTTP.
        "cookie": {"name": COOKIE_NAME, "secure": False},
        "consumer": {"header": CONSUMER_HEADER, "trusted": True},
        "capacity": len(WEIGHTS),
        "tokens": tokens,
        **fields,
    }


class Provider:
    """The stand-in for the provider, as a process."""

    def __init__(self, environment):
        command = [sys.executable, "-B", DEMO / "provider.py", "--watch-cookie", COOKIE_NAME]
        command += [f"{account}={stack.variable_of(account)}" for account in WEIGHTS]
        self.process = stack.Process(command, environment, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.child.stdout.readline() or 0)
        if not self.port:
            raise RuntimeError("the provider did not start")

    def control(self, method, path):
        status, body = stack.request(f"{stack.LOOPBACK}:{self.port}", method, f"/control/{path}")
        if status != 200:
            raise RuntimeError(f"the provider refused {path}")
        return json.loads(body)


class Demo:
    def __init__(self, size, provider, envoy, second_envoy):
        self.size = size
        self.provider = provider
        self.envoy = envoy
        self.second_envoy = second_envoy
        self.rows = []

    def add(self, label, sessions, promise="none", kept=lambda tally: True):
        row = Row(label, tally(sessions), promise)
        row.kept = kept(row.tally)
        self.rows.append(row)

    @contextlib.contextmanager
    def crowd(self, urls):
        """Anonymous sessions and sessions of consumers, all with a conversation begun."""
        crowd = Crowd()
        try:
            progress(f"{2 * self.size.sessions} conversations begin")
            crowd.open(self.size.sessions, urls)
            crowd.open(self.size.sessions, urls, consumers=True)
            yield crowd
        finally:
            crowd.close()

    def phase_a(self):
        self.envoy.update(settings(group="stateless"))
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups, each with a token chosen at random")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(a) a random token for every request", crowd.sessions)

    def phase_b(self):
        self.envoy.update(settings())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups")
            crowd.follow_up(self.size.follow_ups, urls)
            anonymous, consumers = split(crowd.sessions)
            self.add("(b) all tokens up: anonymous", anonymous, "no error", no_error)
            self.add("(b) all tokens up: consumers", consumers, "no error", no_error)

    def phase_c(self):
        self.envoy.update(settings())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            failed = busiest_account(crowd.sessions)
            progress(f"{failed} fails, and the filter is told so")
            self.provider.control("POST", f"fail/{failed}")
            self.envoy.update(settings(down=failed))
            others = [session for session in crowd.sessions if session.home != failed]
            hit = [session for session in crowd.sessions if session.home == failed]
            progress(f"{2 * self.size.sessions} new conversations begin while it is down")
            anonymous = crowd.open(self.size.sessions, urls)
            consumers = crowd.open(self.size.sessions, urls, consumers=True)
            new = anonymous + consumers
            progress("follow-ups while it is down")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(c) one token down: sessions on others", others, "no error", no_error)
            self.add("(c) one token down: new sessions", new, "no error", no_error)
            self.add("(c) one token down: sessions on it", hit)

            progress(f"{failed} recovers, and the filter is told so")
            self.provider.control("POST", f"recover/{failed}")
            self.envoy.update(settings())
            crowd.forget_follow_ups()
            progress("follow-ups after its return")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(c) token back: sessions on others", others, "no error", no_error)
            self.add("(c) token back: sessions on it", hit, "resume on it, no error", at_home)
            label = "(c) token back: begun meanwhile, "
            self.add(label + "anonymous", anonymous, "no error, none moves", at_home)
            # Selection has no history: they move to the token that serves them when all are up.
            self.add(label + "consumers", consumers)

    def phase_d(self):
        self.envoy.update(settings())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress(f"{self.size.consumers} more consumers are placed")
            before = self.place_consumers()
            progress(f"{ADDED} fills the vacant slot")
            self.envoy.update(settings(added=True))
            after = self.place_consumers()
            progress("follow-ups")
            crowd.follow_up(self.size.follow_ups, urls)
            anonymous, consumers = split(crowd.sessions)
            self.add("(d) token added: anonymous", anonymous, "no error, none moves", at_home)
            self.add(
                "(d) token added: consumers",
                consumers,
                "404 only if moved to the new",
                lambda _: all(at_home_or_added(session) for session in consumers),
            )
        self.rows.append(share_row(before, after))
        self.envoy.update(settings(keyed_cookies=True))
        with contextlib.closing(Crowd()) as crowd:
            progress("the same for consumers who get a cookie too")
            consumers = crowd.open(self.size.sessions, urls, consumers=True)
            self.envoy.update(settings(added=True, keyed_cookies=True))
            crowd.follow_up(self.size.follow_ups, urls)
            label = "(d) token added: consumers with cookies"
            self.add(label, consumers, "no error, none moves", at_home)

    def place_consumers(self):
        """Which account serves each of many consumers, asked with a plain stateful request."""

        def ask(worker):
            address = self.envoy.url.removeprefix("http://")
            connection = http.client.HTTPConnection(address, timeout=20)
            placed = {}
            for number in range(worker, self.size.consumers, WORKERS):
                consumer = f"reader-{number}"
                connection.request("GET", "/v1/files", headers={CONSUMER_HEADER: consumer})
                response = connection.getresponse()
                response.read()
                placed[consumer] = response.headers["x-demo-account"]
            connection.close()
            return placed

        with ThreadPoolExecutor(WORKERS) as pool:
            return {k: v for placed in pool.map(ask, range(WORKERS)) for k, v in placed.items()}

    def phase_e(self):
        self.envoy.update(settings())
        with self.crowd([self.envoy.url]) as crowd:
            progress("Envoy is restarted")
            self.envoy.stop()
            self.envoy.start(settings())
            progress("follow-ups")
            crowd.follow_up(self.size.follow_ups, [self.envoy.url])
            self.add("(e) Envoy restarted", crowd.sessions, "no error, none moves", at_home)

    def phase_f(self):
        self.envoy.update(settings())
        progress("a second Envoy starts")
        self.second_envoy.start(settings())
        urls = [self.envoy.url, self.second_envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups, alternating between the two")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(f) two Envoys in turn", crowd.sessions, "no error, none moves", at_home)

    def check_stripping(self):
        counters = self.provider.control("GET", "counters")
        seen = counters["cookie_seen"]
        total = sum(counters["requests"].values())
        progress(f"{total} requests reached the provider, {seen} with the affinity cookie")
        return seen == 0 and counters["unknown_token"] == 0


def split(sessions):
    anonymous = [session for session in sessions if session.consumer is None]
    return anonymous, [session for session in sessions if session.consumer is not None]


def no_error(result):
    return result.errors == 0


def at_home(result):
    return result.errors == 0 and result.moved == 0


def at_home_or_added(session):
    accounts = {account for _, account in session.seen}
    return accounts == {ADDED} or (
        accounts == {session.home} and all(status == 200 for status, _ in session.seen)
    )


def busiest_account(sessions):
    """The account on which the most sessions of the rarer kind live."""
    anonymous, consumers = ([s.home for s in kind] for kind in split(sessions))
    return max(WEIGHTS, key=lambda account: min(anonymous.count(account), consumers.count(account)))


def share_row(before, after):
    """Consumers without a cookie move by the new token's share, and only to the new token."""
    total = len(before)
    movers = [consumer for consumer in before if before[consumer] != after[consumer]]
    share = WEIGHTS[ADDED] / sum(WEIGHTS.values())
    tolerance = binomial_tolerance(total, share)
    strays = sum(after[consumer] != ADDED for consumer in movers)
    measured = len(movers) / total
    promise = f"{share:.1%} ± {tolerance / total:.1%} move, to the new"
    return Row(
        f"(d) token added: {measured:.1%} of consumers moved",
        Tally(total, total, accounts=set(after.values()), moved=len(movers)),
        promise,
        strays == 0 and abs(len(movers) - total * share) <= tolerance,
    )


def binomial_tolerance(n, p):
    """The smallest deviation from n·p that chance exceeds with less than FALSE_ALARM."""
    log_odds = math.log(p), math.log1p(-p)
    mean = n * p
    tail = 0.0
    far_first = sorted(range(n + 1), key=lambda k: -abs(k - mean))
    for k in far_first:
        choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        tail += math.exp(choose + k * log_odds[0] + (n - k) * log_odds[1])
        if tail >= FALSE_ALARM:
            return abs(k - mean)
    raise AssertionError("the probabilities of all outcomes sum to 1")


def print_table(rows):
    heads = ["sessions", "follow-ups", "404", "503", "other", "tokens", "moved"]
    label_width = max(len(row.label) for row in rows)
    promise_width = max(len(row.promise) for row in rows)
    print(f"\n{'phase':{label_width}}  " + "  ".join(heads) + "  promise")
    for row in rows:
        t = row.tally
        numbers = [t.sessions, t.follow_ups, t.not_found, t.unavailable, t.other_errors]
        numbers += [len(t.accounts), t.moved]
        cells = "  ".join(f"{n:>{len(head)}}" for n, head in zip(numbers, heads))
        verdict = "" if row.promise == "none" else "kept" if row.kept else "BROKEN"
        line = f"{row.label:{label_width}}  {cells}  {row.promise:{promise_width}}  {verdict}"
        print(line.rstrip())
    print("\nmoved: sessions that another account answered than the one that began them\n")


def stop_on_signals(cleanup):
    """Ctrl-C and a polite kill stop everything, too."""

    def stop(number, _):
        # Not by an exception: one that is raised in a finaliser is dropped.
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

        demo = Demo(size, provider, *envoys)
        titles = {
            demo.phase_a: "(a) without affinity",
            demo.phase_b: "(b) with tokenpin",
            demo.phase_c: "(c) a token fails and comes back",
            demo.phase_d: "(d) a token is added",
            demo.phase_e: "(e) Envoy is restarted",
            demo.phase_f: "(f) two Envoys with the same keys",
        }
        for phase, title in titles.items():
            print(f"* {title}", flush=True)
            phase()
        stripped = demo.check_stripping()

    print_table(demo.rows)
    promises = [row.kept for row in demo.rows if row.promise != "none"] + [stripped]
    print(f"the affinity cookie never reached the provider: {'kept' if stripped else 'BROKEN'}")
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
