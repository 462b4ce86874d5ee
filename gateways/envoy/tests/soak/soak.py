"""The soak: three Envoys that share their keys, under load, faults and hostile requests.

`make soak` builds the filter and runs the soak. Exits with 0 only if every promise was kept. A
printed seed determines the schedule of faults and the clients' requests, but not their timing.
"""

import argparse
import collections
import contextlib
import functools
import heapq
import json
import os
import pathlib
import random
import re
import secrets
import shutil
import signal
import statistics
import sys
import threading
import time

import stack
import tokenpin_twin as twin
from belief import Belief
from clients import SEALED_ROUTE, Attacker, Replica, Worker, World
from gateway import (
    COOKIE_KEYS,
    LOGGED_NEVER,
    PLACEMENT_KEY,
    cookie_keys,
    credential,
    leaks,
    route,
    settings,
    token,
)
from provider import COOLDOWNS, Provider
from test_hostile import LIMITS

ACCOUNTS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"]
CAPACITY = 8
AS_CONFIGURED = ("up", twin.FULL_WEIGHT, 0)
WORKERS, RATE, SESSIONS = 6, 240, 240  # requests a second and sessions, of all workers
ATTACKERS, HOSTILE_RATE = 2, 30
RING_IDS = range(1, 100)  # more cookie keys than a run rotates through
ID_RING_IDS = range(100, 200)  # the same of ids
AWAY_AT_ONCE = 3  # so that every replica has tokens that are up

# A process leaks if its memory grows by more than this over the last two thirds of its life, by the
# median of the slopes over a tenth of that time. A leak is in each of these slopes. A step, such as
# the allocator makes, is in a tenth of them, so the median does not see it.
GROWTH_PER_REQUEST = 200  # bytes
GROWTH_AT_LEAST = 3 << 19  # bytes: pages and arenas come in steps
SHORTEST_LIFE = 20  # seconds; younger processes are still warming up

CRASH = re.compile(r"Caught \S+, suspect|\[critical\]|assert failure|AddressSanitizer|core dumped")

PROMISES = {
    "stay": "sessions leave only tokens that were down or gone",
    "explained": "every answer is the one that the rules give",
    "cookies": "every cookie that was given is good, on all replicas",
    "sealed": "sealed ids lead to their accounts, or are refused while these are away",
    "stripped": "nothing of ours reaches the provider",
    "provider": "the provider cannot set our cookie, and can set others",
    "forged": "no forged or transplanted cookie is believed",
    "alive": "no Envoy ends by itself, or with an error",
    "memory": "memory does not grow",
    "secrets": "no secret and no cookie in a log",
    "counted": "the metrics are what the clients saw",
    "changes": "every change takes effect, every bad one is refused",
}


class Promises:
    def __init__(self):
        self.broken = collections.defaultdict(list)
        self.lock = threading.Lock()

    def fail(self, promise, text):
        assert promise in PROMISES, promise
        with self.lock:
            self.broken[promise].append(text)
            if len(self.broken[promise]) <= 5:
                print(f"BROKEN ({PROMISES[promise]}): {text}", flush=True)


class Faults:
    """Makes one change after another, and notes it in the beliefs."""

    def __init__(self, world, replicas, folder, draw, end):
        self.world = world
        self.replicas = replicas
        self.files = [folder / f"states-{number}.json" for number, _ in enumerate(replicas)]
        self.draw = draw
        self.end = end
        self.slots = [*ACCOUNTS, *[None] * (CAPACITY - len(ACCOUNTS))]
        self.listed = list(ACCOUNTS)  # in the order of the configuration
        self.roles = {"sign": RING_IDS[0]}
        self.id_roles = {"sign": ID_RING_IDS[0]}
        self.skew = 300
        self.entries = dict.fromkeys(ACCOUNTS, AS_CONFIGURED)  # state, weight, until
        self.away = {}  # account -> the fault
        self.ends = []  # (time, number, account, action)
        self.counts = collections.Counter()
        self.bag = []

    # ---- What is configured ----

    def settings(self, replica):
        tokens = [token(n, slot=self.slots.index(n)) for n in self.listed if n in self.slots]
        cooldowns = [
            {"status": [status], "state": state, "seconds": seconds, "retry_after": True}
            for status, (state, seconds) in COOLDOWNS.items()
        ]
        return settings(
            tokens=tokens,
            capacity=len(self.slots),
            cookie_keys=cookie_keys(**self.roles),
            id_keys=cookie_keys(**self.id_roles),
            keyed_cookies=True,
            carrier_header="x-pin",
            existing={"header": "x-existing"},
            tenant={"header": "x-tenant"},
            id_hint={"header": "x-client"},
            cookie={"skew": self.skew},
            cooldowns=cooldowns,
            retry={"status": list(COOLDOWNS), "max": 1},
            state_file=str(self.files[self.replicas.index(replica)]),
        )

    def ring(self):
        roles = {"sign": twin.SIGN, "accept": twin.ACCEPT, "retire": twin.RETIRE}
        return [twin.RingKey(i, COOKIE_KEYS[i], roles[role]) for role, i in self.roles.items()]

    def file_text(self):
        entries = {
            name: dict(zip(("state", "weight", "until"), entry))
            for name, entry in self.entries.items()
            if entry != AS_CONFIGURED
        }
        return json.dumps({"tokens": entries})

    # ---- Ways to change it, one replica after another ----

    def in_some_order(self):
        for replica in self.draw.sample(self.replicas, len(self.replicas)):
            yield replica
            time.sleep(self.draw.choice([0, 0, 0.3, 1]))

    def load(self, replica):
        """Replaces the configuration."""
        begin = time.time()
        replica.belief.load(list(self.slots), self.ring(), dict(self.entries), begin)
        try:
            replica.update(self.settings(replica))
        except stack.Refused as refused:
            replica.belief.refused()
            self.world.fail("changes", f"{replica.folder.name}: {refused}")
            return
        replica.belief.loaded(time.time())

    def reload(self):
        self.skew = 601 - self.skew  # never the same twice: Envoy would not load it again
        for replica in self.in_some_order():
            self.load(replica)

    def apply(self, replica, what, text):
        """Puts a state file in place and waits until it is applied, or refused."""

        def count():
            return replica.counters().get(f"state_file_{what}", 0)

        def done():
            time.sleep(0.02)
            return count() > before

        before = count()
        stack.replace_file(self.files[self.replicas.index(replica)], text)
        stack.wait_for(f"the state file being {what}", done)

    def declare(self, account, state, weight, until=0):
        self.entries[account] = (state, weight, until)
        for replica in self.in_some_order():
            before = replica.belief.declare(account, self.entries[account], time.time())
            self.apply(replica, "applied", self.file_text())
            replica.belief.declared(before, time.time())

    # ---- Faults ----

    def settle(self):
        while self.ends and self.ends[0][0] <= time.monotonic():
            _, _, account, finish = heapq.heappop(self.ends)
            finish()
            del self.away[account]

    def begin(self, account, what, seconds, finish):
        self.away[account] = what
        number = sum(self.counts.values())
        heapq.heappush(self.ends, (time.monotonic() + seconds, number, account, finish))

    def victim(self):
        free = [name for name in ACCOUNTS if name not in self.away]
        return self.draw.choice(free) if len(self.away) < AWAY_AT_ONCE else None

    def for_a_while(self, what, state):
        account = self.victim()
        if account is None:
            return False
        weight = self.entries[account][1]
        seconds = self.draw.uniform(2, 6)
        self.begin(account, what, seconds, lambda: self.declare(account, "up", weight))
        self.declare(account, state, weight)
        return True

    def goes_down(self):
        return self.for_a_while("down", "down")

    def drains(self):
        return self.for_a_while("draining", "draining")

    def goes_down_until(self):
        account = self.victim()
        if account is None:
            return False
        weight = self.entries[account][1]
        until = int(time.time()) + self.draw.randrange(6, 10)
        # The file declares it up only when every replica already counts it as up.
        self.begin(account, "down until", 12, lambda: self.declare(account, "up", weight))
        self.declare(account, "down", weight, until)
        return True

    def is_weighted(self):
        account = self.victim()
        if account is None:
            return False
        others = [e[1] for n, e in self.entries.items() if n != account and n not in self.away]
        weights = [1000, 16384, 32768, twin.FULL_WEIGHT]
        weights += [0] if sum(w > 0 for w in others) > 2 else []
        weight = self.draw.choice([w for w in weights if w != self.entries[account][1]])
        self.begin(account, "re-weighted", 1, lambda: None)
        self.declare(account, "up", weight)
        return True

    def fails_at_the_provider(self, status):
        account = self.victim()
        if account is None:
            return False
        modes = self.world.provider.modes
        seconds = self.draw.uniform(1, 4)
        # The account gets no other fault until the last cooldown has ended and is removed.
        self.begin(account, f"{status}", seconds + 6, lambda: None)
        modes[account] = status
        time.sleep(seconds)
        del modes[account]
        return True

    def is_refused(self):
        return self.fails_at_the_provider(401)

    def is_limited(self):
        return self.fails_at_the_provider(429)

    def is_vacated(self):
        account = self.victim()
        if account is None or self.entries[account] != AS_CONFIGURED:
            return False
        place = self.slots.index(account)

        def back():
            self.slots[place] = account
            self.reload()

        self.begin(account, "vacated", self.draw.uniform(2, 6), back)
        self.slots[place] = None
        self.reload()
        return True

    def slots_are_shuffled(self):
        if "vacated" in self.away.values():
            return False  # its slot is kept for it
        self.draw.shuffle(self.slots)
        self.reload()
        return True

    def list_is_shuffled(self):
        self.draw.shuffle(self.listed)
        self.reload()
        return True

    def bad_configuration(self):
        replica = self.draw.choice(self.replicas)
        try:
            replica.update({**self.settings(replica), "tokens": []})
        except stack.Refused as refused:
            if "tokenpin: configuration refused: tokens" not in str(refused):
                self.world.fail("changes", f"refused in other words: {refused}")
        else:
            self.world.fail("changes", "a bad configuration was taken")
        # The replica has the old configuration until here.
        self.load(replica)
        return True

    def bad_state_file(self):
        replica = self.draw.choice(self.replicas)
        self.apply(replica, "refused", self.draw.choice(["", "[]", '{"tokens": {"alpha": 1}}']))
        # The old file again, so that the next change begins with a good one.
        self.apply(replica, "applied", self.file_text())
        return True

    def keys_are_rotated(self):
        """Rotates in three steps, each on every replica before the next."""
        old = self.roles["sign"]
        new = old + 1
        for self.roles in ({"sign": old, "accept": new}, {"sign": new, "retire": old}):
            self.reload()
        # The life of a cookie, shortened: a session without a request in that time is over.
        deadline = time.monotonic() + 8
        while old in self.world.live.copy().values() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.world.retired = old
        stack.wait_for(
            "the end of the old key's sessions",
            lambda: time.sleep(0.1) or old not in self.world.live.copy().values(),
        )
        self.roles = {"sign": new}
        self.reload()
        return True

    def id_keys_are_rotated(self):
        """The same for ids, which never expire: those of the old key end with it."""
        old = self.id_roles["sign"]
        new = old + 1
        for self.id_roles in ({"sign": old, "accept": new}, {"sign": new, "accept": old}):
            self.reload()
        live = self.world.live_ids
        deadline = time.monotonic() + 8
        while old in live.copy().values() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.world.retired_ids = old
        stack.wait_for("the end of the old key's ids", lambda: time.sleep(0.1) or old not in live.copy().values())
        self.id_roles = {"sign": new}
        self.reload()
        return True

    def restart(self, replica, politely):
        """Restarts a replica. A polite restart takes it out of rotation first."""
        begin = time.time()
        if politely:
            replica.in_rotation = False
            stack.wait_for("the last answers", lambda: replica.in_flight == 0)
            self.world.check_counters(replica)
        downtime = [begin, float("inf")]
        replica.downtimes.append(downtime)
        process = replica.envoy.process
        replica.envoy.stop()
        if process.child.returncode != 0:
            self.world.fail("alive", f"{replica.folder.name}: exit code {process.child.returncode}")
        replica.in_rotation = False
        replica.belief.stopped(time.time())
        self.start(replica)
        downtime[1] = time.time()
        self.counts["restart, polite" if politely else "restart, abrupt"] += 1

    def start(self, replica):
        replica.belief.load(list(self.slots), self.ring(), dict(self.entries), time.time())
        replica.start(self.settings(replica))
        replica.life += 1
        self.world.memory.watch(replica)
        replica.in_rotation = True

    def run(self, restarts):
        """Runs until the end; `restarts` are the times of the replicas' restarts."""
        kinds = {
            "token down": self.goes_down,
            "token down until a time": self.goes_down_until,
            "token draining": self.drains,
            "token re-weighted": self.is_weighted,
            "token refused by the provider (401)": self.is_refused,
            "token rate-limited (429)": self.is_limited,
            "token vacated": self.is_vacated,
            "slots shuffled": self.slots_are_shuffled,
            "list shuffled": self.list_is_shuffled,
            "bad configuration": self.bad_configuration,
            "bad state file": self.bad_state_file,
            "cookie keys rotated": self.keys_are_rotated,
            "keys of ids rotated": self.id_keys_are_rotated,
        }
        turn = 0
        while time.monotonic() < self.end:
            self.settle()
            if restarts and time.monotonic() >= restarts[0]:
                restarts.pop(0)
                self.restart(self.replicas[turn % 3], politely=self.draw.random() < 0.6)
                turn += 1
                continue
            if not self.bag:
                self.bag = self.draw.sample(list(kinds), len(kinds))
            name = self.bag.pop()
            if kinds[name]():
                self.counts[name] += 1
            time.sleep(self.draw.uniform(0.1, 0.8))
        self.world.provider.modes.clear()


class Memory:
    """The resident set of every process, once a second."""

    def __init__(self):
        self.lives = []  # (name, pid, samples of (second, bytes), replica, life)
        self.page = os.sysconf("SC_PAGE_SIZE")

    def watch(self, replica):
        pid = replica.envoy.process.child.pid
        name = f"{replica.folder.name}, process {replica.life}"
        self.lives.append((name, pid, [], replica, replica.life))

    def sample(self):
        for _, pid, samples, replica, life in self.lives:
            if replica.life == life:
                with contextlib.suppress(OSError, IndexError, ValueError):
                    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
                    if pages:
                        samples.append((time.monotonic(), pages * self.page))

    def now(self):
        latest = {replica: samples for _, _, samples, replica, _ in self.lives}
        return [samples[-1][1] / 2**20 if samples else 0 for samples in latest.values()]


def growth(samples):
    """(bytes of growth over the last two thirds, by the median slope; their seconds)."""
    late = samples[len(samples) // 3 :]
    lag = len(late) // 10
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(late, late[lag:])]
    seconds = late[-1][0] - late[0][0]
    return statistics.median(slopes) * seconds, seconds


class Soak(World):
    """A run, from the first Envoy's start to the report."""

    def __init__(self, build, seed, seconds):
        self.promises = Promises()
        provider = Provider(ACCOUNTS, self.promises.fail)
        folder = build / "soak"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        COOKIE_KEYS.update({number: secrets.token_bytes(16) for number in [*RING_IDS, *ID_RING_IDS]})
        environment = {f"COOKIE_KEY_{number}": key.hex() for number, key in COOKIE_KEYS.items()}
        for name in ACCOUNTS:
            environment[stack.variable_of(name)] = credential(name)
        LOGGED_NEVER.update(environment.values())
        replicas = [
            Replica(
                folder / f"envoy-{number}",
                build / "envoy",
                environment,
                provider,
                Belief(PLACEMENT_KEY),
            )
            for number in (1, 2, 3)
        ]
        super().__init__(replicas, provider, seed, self.promises.fail)
        self.folder = folder
        self.seconds = seconds
        self.memory = Memory()
        self.threads = []
        self.failed = None

    def thread(self, call):
        def guarded():
            try:
                call()
            except Exception as error:  # else the end of a thread would go unnoticed
                self.failed = self.failed or error
                self.stop.set()
                raise

        self.threads.append(threading.Thread(target=guarded))
        self.threads[-1].start()

    def run(self):
        keep = {"retry_on": "retriable-status-codes", "retriable_status_codes": [599]}
        for replica in self.replicas:
            sealed = {
                **route(f"{SEALED_ROUTE}/", route={"retry_policy": keep, "prefix_rewrite": "/"}),
                "typed_per_filter_config": stack.module_route({"sealed_ids": "seal"}),
            }
            replica.configure(routes=[sealed, route(route={"retry_policy": keep})], **LIMITS)
        begin = time.monotonic()
        end = begin + self.seconds
        draw = random.Random(f"{self.seed} faults")
        self.faults = Faults(self, self.replicas, self.folder, draw, end)
        for path in self.faults.files:
            path.write_text('{"tokens": {}}')
        for replica in self.replicas:
            self.faults.start(replica)
        rounds = max(1, self.seconds // 250)
        restarts = [
            begin + self.seconds * (number + 1) / (rounds + 1) + 3 * turn
            for number in range(rounds)
            for turn in range(3)
        ]
        for number in range(WORKERS):
            worker = Worker(self, number, WORKERS, RATE / WORKERS, SESSIONS // WORKERS)
            self.thread(worker.run)
        for number in range(ATTACKERS):
            self.thread(Attacker(self, number, HOSTILE_RATE / ATTACKERS).run)
        self.thread(lambda: self.run_faults(restarts))
        second = 0
        while not self.stop.wait(1):
            second += 1
            self.memory.sample()
            if second % 10 == 0:
                self.progress(time.monotonic() - begin)
        for each in self.threads:
            each.join()
        self.memory.sample()
        for replica in self.replicas:
            if not replica.alive():
                self.fail("alive", f"{replica.folder.name} ended by itself")
                continue
            self.check_counters(replica)
            process = replica.envoy.process
            replica.envoy.stop()
            if process.child.returncode != 0:
                self.fail("alive", f"{replica.folder.name}: exit code {process.child.returncode}")

    def run_faults(self, restarts):
        try:
            self.faults.run(restarts)
        finally:
            self.stop.set()

    def check_counters(self, replica):
        """Compares the filter's counters with the clients' counts. No request is under way."""
        seen = replica.tallies[replica.life]
        counters = replica.counters()
        unanswered = seen["unanswered"]
        self.count("lives counted")
        for name, value in counters.items():
            if name.split("_")[0] in ("source", "outcome", "verdict", "id") or name in (
                "retries",
                "cookies_set",
            ):
                if not seen[name] <= value <= seen[name] + unanswered:
                    self.fail(
                        "counted",
                        f"{replica.folder.name}: {name} {value}, seen {seen[name]}, {unanswered} without an answer",
                    )
        if counters.get("errors", 0):
            self.fail("counted", f"{replica.folder.name}: errors {counters['errors']}")

    def progress(self, seconds):
        c = self.counts
        memory = " ".join(f"{each:.1f}" for each in self.memory.now())
        broken = sum(len(each) for each in self.promises.broken.values())
        print(
            f"{seconds:4.0f} s: {c['requests']} requests, {c['sessions']} sessions, "
            f"{sum(self.faults.counts.values())} faults, moved {c['moved']}, "
            f"refused {c['refused']}, 404 {c['status 404']}, 503 {c['status 503']}, "
            f"hostile {c['hostile']}, RSS {memory} MiB, {broken} broken",
            flush=True,
        )

    def check_logs(self):
        for leak in leaks(self.folder):
            self.fail("secrets", leak)
        for path in sorted(self.folder.glob("**/*.log")):
            for found in CRASH.finditer(path.read_text(errors="replace")):
                self.fail("alive", f"{path.name}: {found[0]}")

    def check_memory(self):
        print("\n| process | seconds | requests | RSS at a third, MiB | at the end | growth |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for name, _, samples, replica, life in self.memory.lives:
            tally = replica.tallies[life]
            requests = sum(n for key, n in tally.items() if key.startswith("outcome_"))
            seconds = samples[-1][0] - samples[0][0] if samples else 0
            if seconds < SHORTEST_LIFE:
                print(f"| {name} | {seconds:.0f} | {requests} | | | too young |")
                continue
            grown, late = growth(samples)
            allowed = max(GROWTH_AT_LEAST, GROWTH_PER_REQUEST * requests * late / seconds)
            third, last = samples[len(samples) // 3][1] / 2**20, samples[-1][1] / 2**20
            print(
                f"| {name} | {seconds:.0f} | {requests} | {third:.1f} | {last:.1f} | "
                f"{grown / 2**20:+.2f} of {allowed / 2**20:.2f} |"
            )
            if grown > allowed:
                self.fail("memory", f"{name} grew by {grown / 2**20:.2f} MiB in {late:.0f} s")

    def report(self):
        self.check_logs()
        self.check_memory()
        c = self.counts
        kinds = [name for name in c if ", " in name or name.startswith("session key")]
        rows = {
            "requests of sessions": c["requests"],
            "follow-ups of sessions with state": c["follow-ups"],
            "sessions": c["sessions"],
            **{f"sessions: {name}": c[name] for name in sorted(kinds)},
            "sessions ended, and begun in their place": c["ended"],
            "sessions over because a cookie key was dropped": c["expired"],
            "moved, cookie, token down or gone": c["moved"],
            "refused, cookie, token down (503)": c["refused"],
            "moved, no cookie, as selection says": c["moved by selection"],
            "moved otherwise": len(self.promises.broken["stay"]),
            "refused, sealed, token down (503)": c["503 sealed away"],
            "refused, sealed, token gone (404, 400)": c["404 sealed away"] + c["400 sealed away"],
            "lost, sealed": len(self.promises.broken["sealed"]),
            "200": c["status 200"],
            "401, 429 of the provider": c["status 401"] + c["status 429"],
            "404, cookie, token down or gone": c["404 away"],
            "404, no cookie, as selection says": c["404 by selection"],
            "503, session_unavailable": c["status 503"],
            "no answer from an Envoy that is stopped": c["stopped"],
            "decisions with one possible view": c["views 1"],
            "decisions with two, three and more": c["views 2"] + c["views 3"],
            "hostile requests": c["hostile"],
            "of these, closed without an answer": c["hostile unanswered"],
            "requests that reached the provider": sum(n for key, n in self.provider.seen.items() if key != "evil"),
            "hostile Set-Cookie of the provider": self.provider.seen["evil"],
            "processes whose metrics were compared": c["lives counted"],
            **{f"fault: {name}": n for name, n in sorted(self.faults.counts.items())},
        }
        print("\n| | |\n| --- | ---: |")
        for name, value in rows.items():
            print(f"| {name} | {value} |")
        print()
        for name, text in PROMISES.items():
            broken = len(self.promises.broken[name])
            print(f"{text}: {f'BROKEN, {broken} times' if broken else 'kept'}")
        if self.failed:
            print(f"the run failed: {self.failed!r}")
        kept = sum(not self.promises.broken[name] for name in PROMISES)
        print(f"{kept} of {len(PROMISES)} promises kept")
        return 0 if kept == len(PROMISES) and not self.failed else 1

    def close(self):
        self.stop.set()
        for replica in self.replicas:
            replica.envoy.stop()
        self.provider.server.close()


def main():
    parser = argparse.ArgumentParser(description="faults in three real Envoys")
    parser.add_argument("build", type=pathlib.Path, help="the folder with the built filter")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.seconds} s", flush=True)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and stop the Envoys
    # A session sends the same cookie many times.
    twin.cookie_tag = functools.lru_cache(4096)(twin.cookie_tag)
    twin.unbase64url = functools.lru_cache(4096)(twin.unbase64url)
    twin.fingerprint = functools.lru_cache(4096)(twin.fingerprint)
    twin.siphash24 = functools.lru_cache(65536)(twin.siphash24)
    twin.siphash24_128 = functools.lru_cache(4096)(twin.siphash24_128)
    with contextlib.closing(Soak(arguments.build.resolve(), arguments.seed, arguments.seconds)) as soak:
        soak.run()
        return soak.report()


if __name__ == "__main__":
    sys.exit(main())
