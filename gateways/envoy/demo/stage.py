"""The base of both parts of the demo: accounts, configuration, provider and table rows."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import stack
from sessions import CONSUMER_HEADER, Tally, tally

DEMO = pathlib.Path(__file__).resolve().parent

COOKIE_NAME = "tokenpin-demo"
# The accounts in slot order with their weights, 65536 being the whole. The last one is added in
# phase (d): until then its slot is vacant.
WEIGHTS = {"alpha": 65536, "bravo": 32768, "charlie": 65536, "delta": 32768}
ADDED = "delta"


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


class Stage:
    """A part of the demo: its phases are methods in the order in which they run."""

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


def no_error(result):
    return result.errors == 0


def at_home(result):
    return result.errors == 0 and result.moved == 0
