"""The real OpenAI client through the example's gateway, in front of accounts that keep their own state.

The environment variable GATEWAY names the example's program, `make tower` builds it. Provider and sessions are those of
the Envoy filter's demo.
"""

import http.server
import json
import os
import pathlib
import secrets
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "envoy" / "demo"))

import provider  # noqa: E402
from sessions import Session  # noqa: E402

ACCOUNTS = ("alpha", "bravo", "charlie")
PATIENCE = 20


class Upstream(http.server.ThreadingHTTPServer):
    """The demo's provider, that also limits accounts, and streams."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.provider = provider.Provider({name: f"sk-{name}" for name in ACCOUNTS}, "tokenpin")
        self.limited = {}  # account -> status and headers
        self.first_read = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(provider.Handler):
    def do_POST(self):
        token = (self.headers.get("authorization") or "").removeprefix("Bearer sk-")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if token in self.server.limited:
            status, headers = self.server.limited[token]
            return self.reply(status, {"error": {"message": "Limited."}}, token, headers)
        if self.path == "/v1/embeddings":
            return self.reply(200, EMBEDDING, token)
        if b'"stream":true' in body.replace(b" ", b""):
            return self.stream(token, json.loads(body))
        status, answer, account = self.server.provider.serve("POST", self.path, self.headers, body)
        return self.reply(status, answer, account)

    def reply(self, status, answer, account, headers=()):
        text = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(text)),
            "x-demo-account": account,
            **dict(headers),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def stream(self, account, request):
        response = provider.make_response(account, request, None)
        self.server.provider.responses[account][response["id"]] = response
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, kind in enumerate(("response.created", "response.completed")):
            # The second event is sent once the client has the first one.
            if number == 1 and not self.server.first_read.wait(PATIENCE):
                return
            event = {"type": kind, "sequence_number": number, "response": response}
            data = f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


EMBEDDING = {
    "object": "list",
    "model": "demo",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    counters = server.provider.counters()
    server.shutdown()
    server.server_close()
    # No request had another account's id, a token of nobody's, or our cookie.
    assert (counters["not_found"], counters["unknown_token"], counters["cookie_seen"]) == (0, 0, 0)


@pytest.fixture
def gateways(upstream):
    """Starts replicas, which share keys."""
    started = []
    environment = {
        **os.environ,
        "PLACEMENT_KEY": secrets.token_hex(16),
        "COOKIE_KEY": secrets.token_hex(16),
        "ACCOUNTS": " ".join(f"{name}=sk-{name}" for name in ACCOUNTS),
    }
    command = [os.environ["GATEWAY"], "127.0.0.1:0", f"127.0.0.1:{upstream.server_port}"]

    def start():
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return f"http://{process.stdout.readline().strip()}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def client(url, **options):
    return openai.OpenAI(
        api_key="the-gateway-has-the-token", base_url=f"{url}/v1", max_retries=0, timeout=PATIENCE, **options
    )


@pytest.mark.parametrize("consumers", [False, True])
def test_conversations_stay_on_every_replica(gateways, consumers):
    urls = [gateways(), gateways()]
    sessions = [Session(f"consumer-{number}" if consumers else None) for number in range(12)]

    def converse(session):
        session.open(urls[0])
        for turn in range(6):
            session.follow_up(urls[turn % 2], turn)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(converse, sessions))
    for session in sessions:
        assert session.seen == [(200, session.home)] * 6
        session.close()
    assert len({session.home for session in sessions}) > 1


def test_the_carrier_header_stands_for_a_jar(gateways):
    url = gateways()
    for _ in range(6):
        first = client(url).responses.with_raw_response.create(
            model="demo", input="Hello.", extra_headers={"x-affinity": ""}
        )
        assert first.headers.get("set-cookie") is None
        value, home = first.headers["x-affinity"], first.headers["x-demo-account"]
        for _ in range(3):
            # A client without a jar of its own each time.
            read = client(url).responses.with_raw_response.retrieve(
                first.parse().id, extra_headers={"x-affinity": value}
            )
            assert (read.status_code, read.headers["x-demo-account"]) == (200, home)


def test_what_is_limited_is_tried_elsewhere_and_cools_down(gateways, upstream):
    url = gateways()
    upstream.limited["bravo"] = (429, {"retry-after-ms": "30000.5"})
    with client(url) as one:
        for _ in range(15):
            answer = one.embeddings.with_raw_response.create(model="demo", input="x", encoding_format="float")
            assert answer.headers["x-demo-account"] != "bravo"
            assert answer.parse().data[0].embedding == [0.5]


def test_refused_credentials_take_no_account_from_others(gateways, upstream):
    url = gateways()
    with client(url) as one:
        upstream.limited = dict.fromkeys(ACCOUNTS, (401, {}))
        for _ in range(10):
            with pytest.raises(openai.AuthenticationError):
                one.embeddings.create(model="demo", input="x")
        upstream.limited = {}
        for _ in range(10):
            assert one.embeddings.create(model="demo", input="x", encoding_format="float").data[0].embedding == [0.5]


def test_where_all_accounts_are_down_the_gateway_answers(gateways, upstream):
    url = gateways()
    # The example has a cooldown that takes unpaid accounts down.
    upstream.limited = dict.fromkeys(ACCOUNTS, (402, {}))
    with client(url) as one, pytest.raises(openai.InternalServerError) as refused:
        for _ in range(10):
            with pytest.raises(openai.APIStatusError) as unpaid:
                one.embeddings.create(model="demo", input="x")
            if unpaid.value.status_code != 402:
                raise unpaid.value
    assert refused.value.code == "no_account_available"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 300


def test_streams_come_as_they_are_sent(gateways, upstream):
    url = gateways()
    with client(url) as one:
        kinds = []
        for event in one.responses.create(model="demo", input="Hello.", stream=True):
            kinds.append(event.type)
            upstream.first_read.set()
        assert kinds == ["response.created", "response.completed"]
        # The cookie came with the stream's head.
        assert one.responses.retrieve(event.response.id).id == event.response.id
