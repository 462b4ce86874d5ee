"""Drives gateways over HTTP through the table of cases.

    suite.py [--smoke] [--only WORDS] [--random COUNT] ADAPTER=PROGRAM..

An adapter is a file in adapters/, whose class `Gateway` says how such a gateway is started with a
configuration; the program is what it starts, or the folder of what it loads. --smoke runs some.
With --random, that many cases beside the table are drawn, from the seed that is printed or in
SUITE_SEED.
"""

import argparse
import http.client
import importlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from model import ENVIRONMENT, KEYS, LATER, LOCATIONS, SECRETS, twin, unjoined, values

HERE = pathlib.Path(__file__).parent
PATIENCE = 30
LOOPBACK = "127.0.0.1"
SMOKE, SMOKE_STEP = ("off", "seal", "strict", "keys"), 3  # of these configurations one case in three


# ---- The provider


class Seen:
    """A request as the provider got it."""

    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        self.headers = [line.split(":", 1) for line in lines[1:] if line]
        self.headers = [(name.lower(), value.strip(" \t")) for name, value in self.headers]
        self.body = body

    def values(self, name):
        return [value for each, value in self.headers if each == name]

    @property
    def account(self):
        """Whose credential it carries: exactly one account's, in one place."""
        sent = [
            variable.removeprefix("SUITE_").lower()
            for name in ("authorization", "x-api-key")
            for value in self.values(name)
            for variable, secret in SECRETS.items()
            if value in (secret, f"Bearer {secret}")
        ]
        assert len(sent) == 1, f"credentials of {sent or 'no account'}"
        return sent[0]


class Provider:
    """Three accounts in one server, as sloppy as HTTP lets it be: names of headers in any letters,
    blanks around values, chunks cut at odd places. It answers what the case says.
    """

    def __init__(self):
        self.answer, self.seen, self.malformed, self.odd = None, [], [], 0
        self.server = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as stream:
                while (seen := self.read(stream)) is not None:
                    self.seen.append(seen)
                    self.reply(connection, seen)
        except OSError:
            pass

    def read(self, stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return None
            head += line
        seen = Seen(head[:-4], b"")
        lengths, codings = seen.values("content-length"), seen.values("transfer-encoding")
        if len(lengths) > 1 or (lengths and codings):
            self.malformed.append(head)
        if codings:
            while size := int(stream.readline().split(b";")[0], 16):
                seen.body += stream.read(size)
                stream.readline()
            while stream.readline().strip():
                pass
        elif lengths:
            seen.body = stream.read(int(lengths[0]))
        return seen

    def reply(self, connection, seen):
        answer = self.answer
        status, body = answer["status"], answer["body"].encode("latin-1")
        bare = status in (204, 304)
        self.odd += 1
        lines = [f"HTTP/1.1 {status} {'' if self.odd % 3 == 0 else 'Anything'}"]
        own = (seen.values("host") or [""])[0]
        headers = [(name, value.replace("{provider}", own)) for name, value in answer["headers"]]
        lines += [f"{name}:{' ' * (self.odd % 3)}{value}{' ' * (self.odd % 2)}" for name, value in headers]
        chunked = not bare and seen.method != "HEAD" and self.odd % 2 == 0
        lines += ["Transfer-Encoding: chunked"] if chunked else [] if bare else [f"CONTENT-LENGTH: {len(body)}"]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if bare or seen.method == "HEAD":
            return
        if not chunked:
            connection.sendall(body)
            return
        step = 1 + self.odd % 23
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            connection.sendall(b"%X;odd=%d\r\n%s\r\n" % (len(piece), start, piece))
        connection.sendall(b"0\r\n\r\n")


# ---- Gateways


def free_port():
    with socket.create_server((LOOPBACK, 0)) as free:
        return free.getsockname()[1]


class Process:
    """A gateway that is a separate program, and starts again for each configuration. An adapter has
    its `command`.
    """

    joins = False  # whether several fields of one name become one: no drawn case has them then
    differs = {}  # the start of cases' names -> why it differs there; such a case has to differ

    def __init__(self, program, provider_port, folder):
        self.program, self.provider_port, self.folder = program, provider_port, folder
        self.child = None

    def command(self, config, port):
        """The command that starts it on this port, with a configuration in the words of the
        schema.
        """
        raise NotImplementedError

    def start(self, config):
        self.stop()
        self.port = free_port()
        with (self.folder / "log").open("ab") as log:
            environment = {**os.environ, **ENVIRONMENT}
            self.child = subprocess.Popen(
                self.command(config, self.port),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection((LOOPBACK, self.port)).close()
            except ConnectionRefusedError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"it does not start: {(self.folder / 'log').read_text()[-2000:]}") from None
                time.sleep(0.01)

    def stop(self):
        if self.child is not None:
            os.killpg(self.child.pid, signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)
                self.child.wait()
            self.child = None

    def write(self, config):
        """The configuration as a file."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(config))
        return str(path)


# ---- One case


class Answer:
    def __init__(self, response):
        self.status, self.body = response.status, response.read().decode("latin-1")
        self.headers = [(name.lower(), value) for name, value in response.getheaders()]

    def values(self, name):
        return [value for each, value in self.headers if each == name]


def ask(port, request):
    body = None if request["body"] is None else request["body"].encode("latin-1")
    lines = [f"{request['method']} {request['target']} HTTP/1.1", f"Host: {LOOPBACK}:{port}"]
    lines += [f"{name}: {value}" for name, value in request["headers"]]
    lines += [f"Content-Length: {len(body)}"] if body is not None else []
    with socket.create_connection((LOOPBACK, port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        response = http.client.HTTPResponse(connection, method=request["method"])
        response.begin()
        return Answer(response)


def same(what, found, wanted):
    if wanted and isinstance(wanted, list) and isinstance(wanted[0], str) and wanted[0].startswith("until "):
        left = int(wanted[0].split()[1]) - time.time()
        assert len(found) == 1 and abs(int(found[0]) - left) < 60, f"{what}: {found}, wanted about {left:.0f}"
        return
    assert found == wanted, f"{what}: {shorten(found)}, wanted {shorten(wanted)}"


def shorten(value):
    text = json.dumps(value)
    return text if len(text) < 900 else f"{text[:450]} .. {text[-450:]}"


def check(gateway, config, case, answer, seen):
    """Raises AssertionError with what is not as it must be."""
    expect = case["expect"]
    if "" in expect:
        assert not seen, (
            f"the provider was asked: {seen[0].method} {seen[0].target} as {seen[0].account}; "
            f"wanted {expect['']['status']} {expect['']['body']}"
        )
        wanted = expect[""]
    else:
        assert len(seen) == 1, f"the provider was asked {len(seen)} times: {answer.status} {answer.body[:300]}"
        [seen] = seen
        account = seen.account
        assert account in expect, f"{account} served, wanted {' or '.join(expect)}"
        wanted = expect[account]
        upstream = wanted["upstream"]
        same("the method upstream", seen.method, case["request"]["method"])
        same("the target upstream", seen.target, upstream["target"])
        same("the body upstream", seen.body.decode("latin-1"), upstream["body"])
        for name, values in upstream["headers"].items():
            same(f"{name} upstream", seen.values(name), values)
    same("the status", answer.status, wanted["status"])
    same("the body", answer.body, wanted["body"])
    name = cookie_name(config)
    ours = [value for value in answer.values("set-cookie") if value.partition("=")[0] == name]
    others = {**wanted["headers"]}
    carried = others.pop("x-affinity", [])
    same(
        "other cookies",
        [value for value in answer.values("set-cookie") if value not in ours],
        others.pop("set-cookie", []),
    )
    # Names in it are in any letters.
    same(
        "cache-control",
        [value.lower() for value in answer.values("cache-control")],
        [value.lower() for value in others.pop("cache-control", [])],
    )
    for header, values in others.items():
        same(
            header,
            answer.values(header),
            [value.replace("{gateway}", f"{LOOPBACK}:{gateway.port}") for value in values]
            if header in LOCATIONS
            else values,
        )
    check_cookie(config, case, name, ours, answer.values("x-affinity"), carried, wanted["cookie"])


def cookie_name(config):
    return config["cookie"].get("name") or twin.default_name(config.get("scope", "").encode()).decode()


def check_cookie(config, case, name, ours, carried, nothing, wanted):
    if wanted is None:
        same("the gateway's cookie", ours, [])
        return same("x-affinity", carried, nothing)
    values = carried if wanted["carrier"] else ours
    same("what carries the other way", ours if wanted["carrier"] else carried, [])
    assert len(values) == 1, f"the gateway's cookie: {values}"
    value, _, attributes = values[0].removeprefix(f"{name}=").partition("; ")
    if not wanted["carrier"]:
        same("attributes", attributes, wanted["attributes"])
    ring = [twin.RingKey(key["id"], KEYS[key["key"]["env"]], twin.SIGN) for key in config["cookie_keys"]]
    keys = [None, *(twin.Key(*each) for each in affinity_keys(case["request"]["headers"]))]
    for key in keys:
        verdict, cookie = twin.read_value(
            value.encode(),
            ring,
            name.encode(),
            config.get("scope", "").encode(),
            key,
            LATER,
            twin.Limits(2**32, 0, 0, 0),
            twin.TagBudget(),
        )
        if cookie is not None:
            break
    assert verdict == twin.VALID, f"the gateway's cookie is not good: {verdict}"
    accounts = {twin.identity_hash(token["name"].encode()): token["name"] for token in config["tokens"]}
    same("the cookie's account", accounts.get(cookie.pin), wanted["account"])
    same("the cookie's kind", ["anonymous", "consumer", "session", "combined"][cookie.kind], wanted["kind"])
    same("the cookie's key", cookie.key_id, wanted["key_id"])
    if wanted["id"] != "fresh":
        same("the cookie's id", cookie.id.hex(), wanted["id"])
    now = time.time()
    assert abs(cookie.refreshed_at - now) < 120 and (
        wanted["issued_at"] != "now" or abs(cookie.issued_at - now) < 120
    ), "the cookie's times"
    if wanted["issued_at"] != "now":
        same("when the cookie was issued", cookie.issued_at, wanted["issued_at"])


def affinity_keys(headers):
    """Kind and bytes of the keys that the headers of a request may be."""
    consumers = [unjoined(value) for value in values(headers, "x-consumer")]
    sessions = [unjoined(value) for value in values(headers, "x-session")]
    for consumer in consumers:
        yield twin.CONSUMER, consumer
        for session in sessions:
            both = twin.combined_key(consumer, session)
            yield both.kind, both.data
    for session in sessions:
        yield twin.SESSION, session


def altered(case):
    """The case with something else expected, in each of its parts. A check that passes these sees
    nothing.
    """
    for account, wanted in case["expect"].items():
        rest = {other: each for other, each in case["expect"].items() if other != account}

        def but(**fields):
            return {**case, "expect": {**rest, account: {**wanted, **fields}}}

        yield account, but(status=wanted["status"] + 1)
        yield account, but(body=wanted["body"] + " ")
        yield account, but(headers={**wanted["headers"], "x-upstream": ["never said"]})
        cookie = wanted["cookie"]
        yield account, but(cookie={**cookie, "account": "nobody"} if cookie else {"carrier": False})
        if account:
            yield account, {**case, "expect": {"nobody": wanted}}
            for field in ("target", "body"):
                yield account, but(upstream={**wanted["upstream"], field: wanted["upstream"][field] + "x"})
            for name, values in wanted["upstream"]["headers"].items():
                yield (
                    account,
                    but(
                        upstream={
                            **wanted["upstream"],
                            "headers": {**wanted["upstream"]["headers"], name: [*values, "x"]},
                        }
                    ),
                )


# ---- All


class Reason:
    def __init__(self, differs):
        self.differs, self.met = differs, set()

    def of(self, name):
        for start, reason in self.differs.items():
            if re.match(start, name):
                return start, reason
        return None, None


def run(gateway, provider, configs, cases):
    """The defects of a gateway, and the number of cases in which it differs as its adapter says."""
    failures, differing, reasons = [], 0, Reason(gateway.differs)
    for config in dict.fromkeys(case["config"] for case in cases):
        gateway.start(configs[config])
        for case in (each for each in cases if each["config"] == config):
            provider.answer, provider.seen, before = case["answer"], [], len(provider.malformed)
            start, reason = reasons.of(case["name"])
            try:
                answer = ask(gateway.port, case["request"])
                check(gateway, configs[config], case, answer, provider.seen)
                assert len(provider.malformed) == before, "what came upstream is no request"
                blind(gateway, configs[config], case, answer, provider.seen)
                if reason is not None:
                    failures.append(f"{case['name']}: it does not differ, and the adapter says that it does: {reason}")
            except (AssertionError, OSError, http.client.HTTPException) as why:
                if reason is None:
                    failures.append(f"{case['name']} [{config}]: {why or repr(why)}")
                else:
                    differing += 1
    return failures, differing


def blind(gateway, config, case, answer, seen):
    """Raises if the check takes this answer for another one as well."""
    served = seen[0].account if seen else ""
    for account, other in altered(case):
        if account != served:
            continue
        try:
            check(gateway, config, other, answer, seen)
        except AssertionError:
            continue
        raise RuntimeError(f"the check sees nothing: {json.dumps(other)[:3000]}")


def repeats(case):
    """True if a request has several fields of one name."""
    names = [name.lower() for name, _ in case["request"]["headers"]]
    return len(set(names)) < len(names)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--smoke", action="store_true")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--random", type=int, default=0)
    arguments.add_argument("gateways", nargs="+")
    arguments = arguments.parse_args()
    table = json.loads((HERE / "cases.json").read_text())
    cases = [case for case in table["cases"] if arguments.only in case["name"]]
    if arguments.smoke:
        cases = [case for case in cases if case["config"] in SMOKE][::SMOKE_STEP]
    if arguments.random:
        from drawn import drawn

        seed = int(os.environ.get("SUITE_SEED") or int.from_bytes(os.urandom(4), "big"))
        print(f"SUITE_SEED={seed}")
        cases = [*cases, *drawn(seed, arguments.random)]
    failed = False
    for word in arguments.gateways:
        name, _, program = word.partition("=")
        adapter = importlib.import_module(f"adapters.{name}")
        with tempfile.TemporaryDirectory() as folder:
            provider = Provider()
            gateway = adapter.Gateway(program, provider.port, pathlib.Path(folder))
            begun = time.monotonic()
            mine = [
                case
                for case in cases
                if not (getattr(gateway, "joins", False) and case["name"].startswith("drawn") and repeats(case))
            ]
            try:
                failures, differing = run(gateway, provider, table["configs"], mine)
            finally:
                gateway.stop()
        print(
            f"{name}: {len(mine)} cases, {differing} differ with a reason, {len(failures)} failed, "
            f"{time.monotonic() - begun:.1f} s",
            flush=True,
        )
        for failure in failures[:60]:
            print(f"  FAILED: {failure}")
        failed = failed or bool(failures)
    sys.exit(failed)


if __name__ == "__main__":
    main()
