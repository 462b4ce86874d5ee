"""States and weights from a file that is watched."""

import json
import threading
import time

import pytest
from gateway import forge, route, settings, tokens
from stack import Refused, module_route, replace_file, wait_for
from upstream import answering


def states(**tokens):
    return json.dumps({"tokens": tokens})


class Watched:
    """A gateway with a state file, and the counters of the file."""

    def __init__(self, gateway, path, **fields):
        self.path = path
        self.fields = {"state_file": str(path), **fields}
        self.gateway = gateway(settings(**self.fields))

    def counter(self, name):
        return self.gateway.counters().get(f"state_file_{name}", 0)

    def replace(self, text, what="applied", by=None):
        """Puts a new file in place and waits until the filter has applied or refused it."""
        before = self.counter(what)
        (by or replace_file)(self.path, text)
        wait_for(f"the state file being {what}", lambda: self.counter(what) > before)

    def status(self, account):
        """The response status of a request that names existing state on the account."""
        return self.gateway.send("GET", "/v1/responses/resp_1", cookie=forge(account)).status


@pytest.mark.smoke
def test_states_apply_without_a_restart(gateway, folder):
    path = folder / "states.json"
    path.write_text(states(alpha={"state": "down"}))
    w = Watched(gateway, path)
    assert w.status("alpha") == 503 and w.status("bravo") == 200
    w.replace(states(bravo={"state": "down"}, charlie={"weight": 0}))
    assert w.status("alpha") == 200 and w.status("bravo") == 503
    # Weight 0 keeps its sessions, and gets no new ones. The chance of that otherwise is (1/2)^30.
    assert w.status("charlie") == 200
    assert {w.gateway.begin().account for _ in range(30)} == {"alpha"}
    w.replace(states())
    assert w.status("bravo") == 200
    w.replace(states(alpha={"state": "down", "until": int(time.time()) + 3}))
    assert w.status("alpha") == 503
    wait_for("the end of until", lambda: w.status("alpha") == 200)


def test_what_the_file_leaves_out_is_as_configured(gateway, folder):
    path = folder / "states.json"
    configured = tokens(alpha={"state": "down"}, bravo={"weight": 0})
    w = Watched(gateway, path, tokens=configured)
    assert w.status("alpha") == 503, "a file that is missing changes nothing"
    w.replace(states(alpha={"state": "up"}))
    assert w.status("alpha") == 200
    w.replace(states(bravo={"state": "down"}))
    assert w.status("alpha") == 503 and w.status("bravo") == 503
    w.replace(states(alpha={"weight": 100}))
    assert w.status("alpha") == 503 and w.status("bravo") == 200


@pytest.mark.smoke
def test_a_config_map(gateway, folder):
    """Kubernetes swaps a symbolic link in the middle of the path."""

    def publish(version, text):
        (folder / f"..{version}").mkdir()
        (folder / f"..{version}" / "states.json").write_text(text)
        link = folder / "..data_tmp"
        link.symlink_to(f"..{version}")
        link.replace(folder / "..data")

    publish("v1", states(alpha={"state": "down"}))
    (folder / "states.json").symlink_to("..data/states.json")
    w = Watched(gateway, folder / "states.json")
    assert w.status("alpha") == 503
    w.replace(states(bravo={"state": "down"}), by=lambda _, text: publish("v2", text))
    assert w.status("alpha") == 200 and w.status("bravo") == 503
    w.replace("{", "refused", by=lambda _, text: publish("v3", text))
    assert w.status("bravo") == 503
    w.replace(states(), by=lambda _, text: publish("v4", text))
    assert w.status("bravo") == 200


BAD_FILES = {
    "empty": "",
    "no JSON": "tokens: {}",
    "cut short": states(bravo={"state": "down"})[:-1],
    "more behind it": states() + "x",
    "no object": "[]",
    "unknown field": '{"tokens": {}, "more": 1}',
    "unknown state of an unknown token": states(bravo={"state": "down"}, delta={"state": "?"}),
    "unknown field of a token": states(bravo={"state": "down", "wait": 1}),
    "unknown state": states(bravo={"state": "down"}, charlie={"state": "vacant"}),
    "weight too large": states(bravo={"weight": 65537}),
    "weight below 0": states(bravo={"weight": -1}),
    "weight with a fraction": states(bravo={"weight": 0.5}),
    "weight as text": states(bravo={"weight": "half"}),
    "until too large": states(bravo={"until": 2**45}),
    "the same token twice": '{"tokens": {"bravo": {"state": "down"}, "bravo": {"weight": 1}}}',
}


def test_a_bad_file_is_refused_whole(gateway, folder):
    path = folder / "states.json"
    path.write_text(states(alpha={"state": "down"}))
    w = Watched(gateway, path)
    for number, (case, text) in enumerate(BAD_FILES.items()):
        applied, start = w.counter("applied"), w.gateway.envoy.log_file.stat().st_size
        w.replace(text, "refused")
        assert w.counter("applied") == applied, case
        assert w.status("alpha") == 503 and w.status("bravo") == 200, case
        assert "state file refused" in w.gateway.envoy.log(start), case
    time.sleep(0.6)
    assert w.counter("refused") == len(BAD_FILES), "a bad file is counted once"
    # A good one after them counts.
    w.replace(states(bravo={"state": "down"}))
    assert w.status("alpha") == 200 and w.status("bravo") == 503


def test_a_token_that_the_configuration_does_not_have(gateway, folder):
    """The file may be older or newer than the configuration: at the start, and later."""
    path = folder / "states.json"
    path.write_text(states(bravo={"state": "down"}, delta={"state": "down"}))
    w = Watched(gateway, path)
    assert w.status("bravo") == 503 and w.status("alpha") == 200
    start = w.gateway.envoy.log_file.stat().st_size
    w.replace(states(alpha={"state": "down"}, echo={"weight": 0}))
    assert w.status("bravo") == 200 and w.status("alpha") == 503
    assert f"no such token: echo in {path}" in w.gateway.envoy.log(start)
    wait_for("its being counted", lambda: w.counter("unknown") == 1)
    assert w.counter("refused") == 0


def test_a_file_that_disappears_changes_nothing(gateway, folder):
    path = folder / "states.json"
    path.write_text(states(alpha={"state": "down"}))
    w = Watched(gateway, path)
    path.unlink()
    time.sleep(0.7)
    assert w.status("alpha") == 503
    w.replace(states())
    assert w.status("alpha") == 200


def test_a_bad_file_at_the_start_refuses_the_configuration(gateway, folder):
    path = folder / "states.json"
    path.write_text(states(alpha={"state": "?"}))
    with pytest.raises(Refused, match="tokenpin: configuration refused: state_file"):
        gateway(settings(state_file=str(path)))


def test_a_file_of_a_route(gateway, folder):
    """A complete configuration of a route watches its own file."""
    path = folder / "states.json"
    path.write_text(states())
    own = module_route(settings(state_file=str(path)))
    g = gateway(routes=[route("/own/", typed_per_filter_config=own)])
    existing = {"method": "GET", "path": "/own/v1/responses/resp_1", "cookie": forge("alpha")}
    assert g.send(**existing).status == 200
    replace_file(path, states(alpha={"state": "down"}))
    wait_for("the route's file being applied", lambda: g.send(**existing).status == 503)


@pytest.mark.smoke
def test_changes_under_load(gateway, folder):
    path = folder / "states.json"
    path.write_text(states())
    w = Watched(gateway, path)
    g = w.gateway
    cookie = forge("alpha")
    stop = threading.Event()

    def follow_up(_):
        count = 0
        while not stop.is_set():
            answer = g.send(cookie=cookie)
            assert (answer.status, answer.account) == (200, "alpha"), answer
            assert answer.outcome == "pinned", answer.decision
            count += 1
        return count

    def change():
        try:
            for number in range(4):
                state = "draining" if number % 2 == 0 else "up"
                w.replace(states(alpha={"state": state, "weight": 1000 * number}))
                if state == "draining":
                    # The chance of that otherwise is (2/3)^40 for each, less than 1e-7.
                    assert "alpha" not in {g.begin().account for _ in range(40)}
        finally:
            stop.set()

    results = g.parallel(5, lambda number: follow_up(number) if number else change())
    assert min(results[1:]) > 10, results


def test_a_change_of_the_entry_ends_a_cooldown(gateway, folder):
    path = folder / "states.json"
    path.write_text(states(alpha={"weight": 100}))
    down = [{"status": [401], "state": "down", "seconds": 300}]
    w = Watched(gateway, path, cooldowns=down)
    w.gateway.upstream.script.append(answering(401))
    assert w.status("alpha") == 401
    assert w.status("alpha") == 503, "the token is in a cooldown"
    w.replace(states(alpha={"weight": 100}, bravo={"weight": 5}))
    assert w.status("alpha") == 503, "its entry is the same"
    w.replace(states(alpha={"weight": 200}))
    assert w.status("alpha") == 200
