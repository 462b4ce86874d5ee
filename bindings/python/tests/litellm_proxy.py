"""The callback in real proxies of LiteLLM: two replicas without Redis, in front of a provider with
accounts.

Run by `make python-litellm`, in an environment that has LiteLLM. Not a part of the other tests.
"""

import collections
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

ACCOUNTS = ["account-a", "account-b", "account-c", "account-d"]

PINS = """
from tokenpin import Affinity, CookieKey
from tokenpin.litellm import PinDeployments

pins = PinDeployments(
    "gpt",
    Affinity(%r, placement_key=b"a placement key!", cookie_keys=[CookieKey(1, b"sixteen secrets!")],
             cookie_name="pin", secure=False, strategy="rendezvous"),
    session_header="X-Session",
)
keyed = PinDeployments(
    "keyed",
    Affinity(%r, placement_key=b"a placement key!", cookie_keys=[CookieKey(1, b"sixteen secrets!")]),
    consumer="user_api_key_hash",
)
""" % (ACCOUNTS, ["keyed-" + account for account in ACCOUNTS])


class Provider(http.server.BaseHTTPRequestHandler):
    """OpenAI, as far as the proxy asks it. Says in its answer which key it was asked with."""

    protocol_version = "HTTP/1.1"
    failing = set()
    previous = []

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        account = self.headers["authorization"].removeprefix("Bearer sk-")
        self.previous.append((account, asked.get("previous_response_id")))
        if account in self.failing:
            return self.answer(429, {"error": {"message": "slow down", "type": "x", "code": "rate_limited"}})
        if self.path.endswith("/responses"):
            native = "resp_%s_%d" % (account.replace("-", ""), time.monotonic_ns())
            text = {"type": "output_text", "text": account, "annotations": []}
            return self.answer(
                200,
                {
                    "id": native,
                    "object": "response",
                    "created_at": 1,
                    "status": "completed",
                    "model": "gpt-x",
                    "output": [
                        {
                            "type": "message",
                            "id": "msg_1",
                            "status": "completed",
                            "role": "assistant",
                            "content": [text],
                        }
                    ],
                    "parallel_tool_calls": True,
                    "tool_choice": "auto",
                    "tools": [],
                    "error": None,
                    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
                },
            )
        if asked.get("stream"):
            events = [
                {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": "gpt-x",
                    "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}],
                }
                for text, reason in ((account, None), ("", "stop"))
            ]
            body = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"
            return self.answer(200, body, "text/event-stream")
        return self.answer(
            200,
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "gpt-x",
                "choices": [
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": account}}
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            },
        )

    def answer(self, status, body, kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def configuration(upstream, pinned):
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": "openai/gpt-x",
                "api_base": upstream,
                "api_key": "sk-" + account,
                "max_retries": 0,
            },
            "model_info": {"id": account if name == "gpt" else name + "-" + account},
        }
        for name in ("gpt", "keyed", "others")
        for account in ACCOUNTS
    ]
    checks = ["responses_api_deployment_check"] if pinned else ["session_affinity"]
    return {
        "model_list": models,
        "litellm_settings": {"callbacks": ["pins.pins", "pins.keyed"] if pinned else [], "num_retries": 0},
        "router_settings": {
            "optional_pre_call_checks": checks,
            "num_retries": 2 if pinned else 0,
            "cooldown_time": 3,
            "allowed_fails": 0,
        },
        "general_settings": {"master_key": "sk-master"},
    }


class Proxies:
    def __init__(self, folder, pinned):
        self.provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
        threading.Thread(target=self.provider.serve_forever, daemon=True).start()
        upstream = "http://127.0.0.1:%d/v1" % self.provider.server_port
        (folder / "pins.py").write_text(PINS)
        # JSON is YAML.
        (folder / "config.yaml").write_text(json.dumps(configuration(upstream, pinned)))
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [
            str(pathlib.Path(sys.executable).with_name("litellm")),
            "--config",
            "config.yaml",
            "--host",
            "127.0.0.1",
            "--telemetry",
            "False",
            "--port",
        ]
        self.ports = [free_port(), free_port()]
        self.logs = [open(folder / ("log-%d" % port), "w+") for port in self.ports]
        self.processes = [
            subprocess.Popen([*command, str(port)], cwd=folder, env=environment, stdout=out, stderr=out)
            for port, out in zip(self.ports, self.logs)
        ]
        for port in self.ports:
            self.wait(port)

    def wait(self, port):
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health/liveliness")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            assert all(process.poll() is None for process in self.processes), self.said()
            time.sleep(0.5)
        raise AssertionError("the proxy did not start: " + self.said())

    def said(self):
        for log in self.logs:
            log.flush()
        return "".join(pathlib.Path(log.name).read_text()[-3000:] for log in self.logs)

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.provider.shutdown()

    def ask(self, replica, path, body, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[replica % 2], timeout=60)
        headers = {"Authorization": "Bearer sk-master", "Content-Type": "application/json", **(headers or {})}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text


def account_in(text):
    (account,) = {account for account in ACCOUNTS if account in text}
    return account


CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "x"}]}


class Session:
    """A client with a jar."""

    def __init__(self, proxies, headers=None):
        self.proxies, self.headers, self.turn = proxies, dict(headers or {}), 0

    def ask(self, path="/v1/chat/completions", body=None):
        self.turn += 1
        status, headers, text = self.proxies.ask(self.turn, path, body or CHAT, self.headers)
        if "set-cookie" in headers:
            self.headers["Cookie"] = "theme=dark; " + headers["set-cookie"].partition(";")[0]
        assert status == 200, text
        return account_in(text), headers


@pytest.fixture(scope="module")
def proxies(tmp_path_factory):
    made = Proxies(tmp_path_factory.mktemp("pinned"), True)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def all_accounts_are_up(request):
    yield
    if Provider.failing:
        Provider.failing.clear()
        # Until the cooldowns are over.
        time.sleep(4)


def test_no_session_is_split_between_two_replicas(proxies):
    used = collections.Counter()
    for _ in range(20):
        session = Session(proxies)
        accounts = [session.ask()[0] for _ in range(6)]
        assert len(set(accounts)) == 1, accounts
        used[accounts[0]] += 1
    assert len(used) > 1


def test_the_cookie_is_set_once_and_kept(proxies):
    session = Session(proxies)
    _, headers = session.ask()
    assert headers["set-cookie"].startswith("pin=") and "HttpOnly" in headers["set-cookie"]
    assert headers["cache-control"] == 'no-cache="Set-Cookie"'
    for _ in range(3):
        assert "set-cookie" not in session.ask()[1]


def test_streams_are_pinned_too(proxies):
    session = Session(proxies)
    accounts = [session.ask(body={**CHAT, "stream": True})[0] for _ in range(4)]
    assert len(set(accounts)) == 1 and "Cookie" in session.headers


def test_a_session_key_needs_no_cookie(proxies):
    for key in ("one", "two", "three"):
        answers = [Session(proxies, {"X-Session": key}).ask() for _ in range(2)]
        answers.append(Session(proxies, {"x-session": key}).ask())
        assert len({account for account, _ in answers}) == 1
        assert all("set-cookie" not in headers for _, headers in answers)


def test_responses_are_pinned_and_a_previous_response_is_left_to_litellm(proxies):
    for _ in range(6):
        body = {"model": "gpt", "input": "x"}
        status, headers, text = proxies.ask(0, "/v1/responses", body)
        assert status == 200 and "set-cookie" in headers
        account, previous = account_in(text), json.loads(text)["id"]
        # Without a cookie, and with that of another session.
        for cookie in (None, Session(proxies).ask()[1]["set-cookie"].partition(";")[0]):
            given = {} if cookie is None else {"Cookie": cookie}
            status, headers, text = proxies.ask(0, "/v1/responses", {**body, "previous_response_id": previous}, given)
            assert (status, account_in(text)) == (200, account)
            assert "set-cookie" not in headers
    assert [native for _, native in Provider.previous if native][-1].startswith("resp_")


def test_a_session_moves_when_its_account_cools_down_and_is_pinned_there(proxies):
    session = Session(proxies)
    before, _ = session.ask()
    Provider.failing.add(before)
    after, headers = session.ask()
    assert after != before and "set-cookie" in headers
    Provider.failing.clear()
    time.sleep(4)
    assert {session.ask()[0] for _ in range(4)} == {after}


def test_no_account_left_is_litellms_own_answer(proxies):
    Provider.failing.update(ACCOUNTS)
    for turn in range(3):
        status, headers, text = proxies.ask(turn, "/v1/chat/completions", CHAT)
        assert status == 429 and "set-cookie" not in headers, text
    assert "bug" not in text.lower()


@pytest.mark.parametrize("model,at_once", [("others", range(2, 5)), ("keyed", [1])])
def test_other_groups_are_left_alone_and_a_virtual_key_has_one_account(proxies, model, at_once):
    accounts = set()
    for turn in range(12):
        # A client's own words about its key do not count.
        asked = {**CHAT, "model": model, "metadata": {"user_api_key_hash": str(turn)}}
        status, headers, text = proxies.ask(turn, "/v1/chat/completions", asked)
        assert status == 200 and "set-cookie" not in headers
        accounts.add(account_in(text))
    assert len(accounts) in at_once


def test_only_what_litellm_says_itself_names_a_consumer():
    from tokenpin.litellm import PinDeployments

    with pytest.raises(ValueError, match="user_api_key_"):
        PinDeployments("gpt", None, consumer="user_id")


def test_the_replicas_said_nothing_of_a_defect(proxies):
    assert "Traceback" not in proxies.said() or "tokenpin" not in proxies.said()


def test_for_comparison_litellms_own_session_affinity(tmp_path):
    """Not asserted: how many sessions LiteLLM's own check splits, which without Redis is each
    replica's own.
    """
    proxies = Proxies(tmp_path, False)
    try:
        split = 0
        for number in range(20):
            accounts = {
                account_in(
                    proxies.ask(
                        turn,
                        "/v1/chat/completions",
                        {**CHAT, "metadata": {"session_id": "s%d" % number}},
                        {"x-litellm-session-id": "s%d" % number},
                    )[2]
                )
                for turn in range(6)
            }
            split += len(accounts) > 1
        print("LiteLLM's own session_affinity split %d of 20 sessions" % split)
    finally:
        proxies.close()
