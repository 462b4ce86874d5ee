"""The second part: clients for Python, Node and Go that keep no cookie, and ids that are sealed.

Some sessions belong to consumers. Some are anonymous, each with its own key for the gateway, which
is the last source of a name. The others have no name, only their ids.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
from concurrent.futures import Future

import stack
from sessions import CONSUMER_HEADER, Crowd
from stage import DEMO, Stage, at_home, no_error, progress, settings

CONSUMERS, OWN_KEY, NO_NAME = GROUPS = ["consumers", "own key", "no name"]
KINDS = ["responses", "conversation", "files"]
JOBS = itertools.count()


def sealing(**fields):
    # The client's own credential is its name, before the account's credential replaces it.
    return settings(sealed_ids="seal", session=[{"header": "authorization"}], **fields)


class Driver:
    """The process with the clients of one language."""

    def __init__(self, command, log):
        self.log = log.open("wb")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = stack.Process(command, {}, text=True, **pipes)
        self.lock = threading.Lock()
        self.pending = {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.child.stdout:
            done = json.loads(line)
            with self.lock:
                pending = self.pending.pop(done["job"])
            pending.set_result((done["status"], done["account"]))
        with self.lock:
            for pending in self.pending.values():
                pending.set_exception(RuntimeError(f"a client ended, see {self.log.name}"))

    def call(self, **job):
        done = Future()
        with self.lock:
            job["job"] = next(JOBS)
            self.pending[job["job"]] = done
            self.process.child.stdin.write(json.dumps(job) + "\n")
            self.process.child.stdin.flush()
        return done.result(stack.PATIENCE)

    def close(self):
        self.process.stop()
        self.log.close()


class Session:
    """One session of a client."""

    numbers = itertools.count()

    def __init__(self, driver, kind, stream, group):
        self.driver = driver
        self.group = group
        number = next(Session.numbers)
        headers = {CONSUMER_HEADER: f"customer-{number}"} if group == CONSUMERS else {}
        key = None if group == NO_NAME else f"sk-client-{number}"
        self.what = {"session": number, "kind": kind, "stream": stream}
        self.what |= {"headers": headers, "key": key}
        self.home = None
        self.seen = []  # (status, account) of every follow-up

    def open(self, url):
        status, self.home = self.driver.call(**self.what, url=url, number=None)
        if status != 200:
            raise RuntimeError(f"a session could not begin: status {status}, {self.what}")

    def follow_up(self, url, number):
        self.seen.append(self.driver.call(**self.what, url=url, number=number))

    def close(self):
        pass


class WithoutCookies(Stage):
    def __init__(self, *stage, folder, commands):
        super().__init__(*stage)
        self.drivers = [Driver(command, folder / f"{name}.log") for name, command in commands.items()]

    def close(self):
        for driver in self.drivers:
            driver.close()

    def sessions(self, kinds=KINDS):
        """A session of each sort. Clients without a name have no common account for two files."""
        for driver, kind, group, stream in itertools.product(self.drivers, kinds, GROUPS, self.size.streams):
            if kind != "files" or group != NO_NAME:
                yield Session(driver, kind, stream, group)

    @contextlib.contextmanager
    def crowd(self, urls, **sorts):
        with contextlib.closing(Crowd()) as crowd:
            progress("sessions begin, in Python, Node and Go")
            crowd.begin(list(self.sessions(**sorts)), urls)
            yield crowd

    def add_groups(self, label, sessions, promise, kept):
        for group in GROUPS:
            chosen = [session for session in sessions if session.group == group]
            self.add(f"{label}: {group}", chosen, promise, kept)

    def phase_a(self):
        self.envoy.update(settings(group="stateless"))
        urls = [self.envoy.url]
        # Random tokens could not even put two files into one vector store.
        with self.crowd(urls, kinds=KINDS[:2]) as crowd:
            progress("follow-ups, each with a token chosen at random")
            crowd.follow_up(self.size.calls, urls)
            self.add("(a) a random token for every request", crowd.sessions)

    def phase_b(self):
        self.envoy.update(sealing())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups")
            crowd.follow_up(self.size.calls, urls)
            self.add_groups("(b) all tokens up", crowd.sessions, "no error, none moves", at_home)

    def phase_c(self):
        self.envoy.update(sealing())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            homes = [session.home for session in crowd.sessions]
            failed = max(set(homes), key=homes.count)
            progress(f"{failed} fails, and the operator takes it down")
            self.provider.control("POST", f"fail/{failed}")
            self.envoy.update(sealing(down=failed))
            others = [session for session in crowd.sessions if session.home != failed]
            hit = [session for session in crowd.sessions if session.home == failed]
            progress("new sessions begin while it is down")
            new = crowd.begin(list(self.sessions()), urls)
            progress("follow-ups while it is down")
            crowd.follow_up(self.size.calls, urls)
            self.add("(c) one token down: sessions on others", others, "no error", no_error)
            self.add("(c) one token down: new sessions", new, "no error", no_error)
            self.add("(c) one token down: sessions on it", hit, "503 and nothing else", told_so)

            progress(f"{failed} recovers, and the operator puts it up")
            self.provider.control("POST", f"recover/{failed}")
            self.envoy.update(sealing())
            crowd.forget_follow_ups()
            progress("follow-ups after its return")
            crowd.follow_up(self.size.calls, urls)
            self.add("(c) token back: sessions on others", others, "no error", no_error)
            self.add("(c) token back: sessions on it", hit, "resume on it, no error", at_home)
            label = "(c) token back: begun meanwhile"
            self.add_groups(label, new, "no error, none moves", at_home)

    def phase_d(self):
        self.envoy.update(sealing())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress("the vacant slot is filled")
            self.envoy.update(sealing(added=True))
            progress("follow-ups")
            crowd.follow_up(self.size.calls, urls)
            self.add_groups("(d) token added", crowd.sessions, "no error, none moves", at_home)

    def phase_e(self):
        self.envoy.update(sealing())
        with self.crowd([self.envoy.url]) as crowd:
            progress("Envoy is restarted")
            self.envoy.stop()
            self.envoy.start(sealing())
            progress("follow-ups")
            crowd.follow_up(self.size.calls, [self.envoy.url])
            self.add("(e) Envoy restarted", crowd.sessions, "no error, none moves", at_home)

    def phase_f(self):
        self.envoy.update(sealing())
        self.second_envoy.update(sealing())
        urls = [self.envoy.url, self.second_envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups, alternating between the two")
            crowd.follow_up(self.size.calls, urls)
            self.add("(f) two Envoys in turn", crowd.sessions, "no error, none moves", at_home)


def told_so(result):
    return result.follow_ups == result.unavailable


def clients(build):
    """The program that holds the clients, by language."""
    folder = DEMO / "clients"
    return {
        "python": [sys.executable, "-B", folder / "client.py"],
        "node": ["node", build / "clients" / "client.js"],
        "go": [build / "clients" / "client"],
    }
