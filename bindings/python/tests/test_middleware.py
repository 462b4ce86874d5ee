"""The middleware in uvicorn and gunicorn, two replicas of each, without shared storage."""

import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from conftest import HERE, ROOT

SERVERS = {
    "uvicorn": ["-m", "uvicorn", "--log-level", "warning", "provider:asgi_app", "--port"],
    "gunicorn": ["-m", "gunicorn", "--log-level", "warning", "--workers", "2", "provider:wsgi_app", "--bind"],
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Replicas:
    def __init__(self, server, mode):
        self.server, self.mode, self.turn = server, mode, 0
        self.ports = [free_port(), free_port()]
        environment = {**os.environ, "ID_MODE": mode, "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"}
        self.processes = []
        for port in self.ports:
            place = str(port) if server == "uvicorn" else "127.0.0.1:%d" % port
            command = [sys.executable, *SERVERS[server], place]
            self.processes.append(subprocess.Popen(command, env=environment))
        for port in self.ports:
            self.wait(port)

    def wait(self, port):
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert all(process.poll() is None for process in self.processes)
                time.sleep(0.05)
        raise AssertionError("no server on port %d" % port)

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)

    def ask(self, method, target, body=None, headers=(), replica=None):
        """From one replica after the other."""
        self.turn += 1
        port = self.ports[(self.turn if replica is None else replica) % 2]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.putrequest(method, target)
            headers = list(headers)
            if body is not None:
                body = json.dumps(body).encode() if isinstance(body, dict) else body
                given = {name.lower() for name, _ in headers}
                if "content-type" not in given:
                    headers.append(("Content-Type", "application/json"))
                if "transfer-encoding" not in given:
                    headers.append(("Content-Length", str(len(body))))
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            return Answer(connection.getresponse())
        finally:
            connection.close()


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()
        seen = self.headers.get("x-seen")
        self.seen = json.loads(seen) if seen else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def account(self):
        return self.seen["account"]

    @property
    def cookie(self):
        return self.headers["set-cookie"].partition(";")[0]

    def sent(self, name):
        """The values of a header as the account got them."""
        return [value for other, value in self.seen["headers"] if other == name]


def replicas(mode):
    @pytest.fixture(scope="module", params=list(SERVERS))
    def made(request):
        made = Replicas(request.param, mode)
        yield made
        made.close()

    return made


sealing, strict, off = replicas("seal"), replicas("strict"), replicas("off")


def test_a_cookie_keeps_a_session_on_its_account(off):
    for _ in range(6):
        first = off.ask("POST", "/v1/responses", {"input": "x"})
        assert first.status == 200
        assert 'no-cache="Set-Cookie"' in first.headers.get_all("cache-control")
        for _ in range(4):
            cookies = "a=b; " + first.cookie + "; c=d"
            again = off.ask("GET", "/v1/responses/" + first.json["id"], headers=[("Cookie", cookies)])
            assert (again.status, again.account) == (200, first.account)
            assert again.sent("cookie") == ["a=b; c=d"]
            assert "set-cookie" not in again.headers


def test_a_sealed_id_keeps_a_client_without_cookies_on_its_account(sealing):
    accounts = set()
    for _ in range(8):
        first = sealing.ask("POST", "/v1/responses", {"input": "x"})
        sealed = first.json["id"]
        assert sealed.endswith("tp1") and first.headers["location"] == "/v1/responses/" + sealed
        assert first.json["results_url"] == "http://gateway.example/v1/responses/" + sealed
        assert first.headers.get("etag") is None
        assert first.headers.get("content-length") in (None, str(len(first.body)))
        accounts.add(first.account)
        for _ in range(3):
            read = sealing.ask("GET", "/v1/responses/%s?include=x" % sealed)
            assert (read.status, read.account, read.json["id"]) == (200, first.account, sealed)
            assert re.fullmatch(r"/v1/responses/resp_[0-9a-f]{48}\?include=x", read.seen["target"])
            turn = sealing.ask(
                "POST", "/v1/responses", {"previous_response_id": sealed, "input": "y"}, [("Content-MD5", "x")]
            )
            assert (turn.status, turn.account) == (200, first.account)
            assert re.search('"previous_response_id": "resp_[0-9a-f]{48}"', turn.seen["body"])
            assert turn.sent("content-length") == [str(len(turn.seen["body"]))]
            assert turn.sent("content-md5") == [] and turn.sent("accept-encoding") == ["identity"]
            sealed = turn.json["id"]
    assert len(accounts) > 1


def test_streams_are_sealed_as_they_pass(sealing):
    first = sealing.ask("POST", "/v1/responses", {"stream": True})
    ids = set(re.findall('"id":"([^"]*)"', first.body.decode()))
    assert len(ids) == 1 and first.body.endswith(b"data: [DONE]\n\n")
    assert first.body.count(b'"delta":"x"') == 20
    sealed = ids.pop()
    assert sealed.endswith("tp1")
    again = sealing.ask("POST", "/v1/responses", {"stream": True, "previous_response_id": sealed})
    assert (again.status, again.account) == (200, first.account)


def test_what_is_not_sealed_passes_byte_for_byte(off):
    answer = off.ask("POST", "/v1/responses", {"stream": True})
    assert re.search(b'"id":"resp_[0-9a-f]{48}"', answer.body)
    head = off.ask("HEAD", "/v1/responses/x", headers=[("X-Status", "200")])
    assert head.body == b""


def test_the_clients_credentials_are_not_sent_on(off):
    answer = off.ask(
        "POST",
        "/v1/responses",
        {},
        [
            ("Authorization", "Bearer mine"),
            ("X-Api-Key", "mine"),
            ("OpenAI-Organization", "mine"),
            ("X-Tokens", "stays"),
            ("X-Pin", ""),
        ],
    )
    assert answer.sent("authorization") == ["Bearer " + answer.account]
    assert (answer.sent("x-api-key"), answer.sent("openai-organization"), answer.sent("x-pin")) == ([], [], [])
    assert answer.sent("x-tokens") == ["stays"]


def test_consumers_and_sessions_have_their_account_everywhere(off):
    for name in ("X-Consumer", "X-Session"):
        for value in ("alice", "bob", "carol"):
            answers = [off.ask("POST", "/v1/responses", {}, [(name, value)]) for _ in range(3)]
            answers.append(off.ask("POST", "/v1/responses", {}, [(name, "%s, %s" % (value, value))]))
            assert len({answer.account for answer in answers}) == 1
            assert all("set-cookie" not in answer.headers for answer in answers)


def test_the_carrier_header_stands_for_a_cookie(off):
    first = off.ask("POST", "/v1/responses", {}, [("X-Pin", "")])
    assert "set-cookie" not in first.headers and len(first.headers["x-pin"]) == 67
    assert 'no-cache="x-pin"' in first.headers.get_all("cache-control")
    again = off.ask("GET", "/v1/responses/" + first.json["id"], headers=[("X-Pin", first.headers["x-pin"])])
    assert (again.status, again.account) == (200, first.account)


def test_an_upstreams_cookie_of_our_name_is_removed_and_others_stay(off):
    answer = off.ask("POST", "/v1/responses", {}, [("X-Say-Set-Cookie", "pin=evil"), ("X-Say-X-Pin", "evil")])
    assert answer.headers.get_all("set-cookie") == [answer.headers["set-cookie"]]
    assert "evil" not in str(answer.headers.get_all("set-cookie")) and "x-pin" not in answer.headers
    answer = off.ask("POST", "/v1/responses", {}, [("X-Say-Set-Cookie", "theirs=1")])
    assert answer.headers.get_all("set-cookie")[0] == "theirs=1"
    assert len(answer.headers.get_all("set-cookie")) == 2


def test_no_cookie_without_success(off):
    answer = off.ask("POST", "/v1/responses", {}, [("X-Status", "500")])
    assert answer.status == 500 and "set-cookie" not in answer.headers


def test_a_request_that_may_move_is_tried_on_another_account(off):
    # A request that creates and names nothing moves freely.
    for _ in range(12):
        answer = off.ask("POST", "/v1/chat/completions", {"messages": "x" * 1000}, [("X-Fails", "sk-a")])
        assert (answer.status, answer.account != "sk-a") == (200, True)
        assert json.loads(answer.seen["body"]) == {"messages": "x" * 1000}
    # A creation of a client that may have no jar does not.
    answers = [off.ask("POST", "/v1/responses", {}, [("X-Fails", "all")]) for _ in range(2)]
    assert {answer.status for answer in answers} == {429}


def test_bodies_that_are_too_long(sealing, off):
    body = b'{"input":"' + b"x" * 200_000 + b'"}'
    refused = sealing.ask("POST", "/v1/responses", body)
    assert (refused.status, refused.json["error"]["code"]) == (413, "request_too_large")
    # It passes if ids are not opened.
    passed = off.ask("POST", "/v1/responses", body)
    assert passed.status == 200 and passed.seen["body"] == hashlib.sha256(body).hexdigest()


def chunked(body, size=1000):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_bodies_in_chunks(sealing):
    first = sealing.ask("POST", "/v1/responses", {})
    body = json.dumps({"input": "x" * 5000, "previous_response_id": first.json["id"]}).encode()
    answer = sealing.ask("POST", "/v1/responses", chunked(body), [("Transfer-Encoding", "chunked")])
    assert (answer.status, answer.account) == (200, first.account)
    assert answer.sent("content-length") == [str(len(answer.seen["body"]))]


# ---- Refusals, by the tables of docs/guides/embedding.md


def table(heading):
    with open(os.path.join(ROOT, "docs", "guides", "embedding.md"), encoding="utf-8") as file:
        section = file.read().split("\n## %s\n" % heading)[1].split("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in section.splitlines() if row.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


ROWS = {code: (int(status), param, message) for _, status, code, param, message in table("Refusals for ids")}
SEALED = "resp_Z8zTqdp0gZC6p_FXD-kaxgS-yyXEXB1BARMkIZMgSyaSrep3WPfMF1gtp1"
PLAIN = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"


LONG = "resp_%stp7" % ("x" * 57)


def refusal(code, key=None, second=None, quoted=None):
    status, param, message = ROWS[code]
    message = message.replace("*id*", "" if quoted is None else " '%s'" % quoted)
    message = message.replace("*key*", str(key)).replace("*second key*", str(second))
    param = {"key": key, "second key": second, "null": None}[param]
    return status, {"message": message, "type": "invalid_request_error", "param": param, "code": code}


CASES = [
    (
        "POST",
        "/v1/responses",
        {"previous_response_id": PLAIN},
        [],
        refusal("previous_response_not_found", "previous_response_id", quoted=PLAIN),
    ),
    (
        "POST",
        "/v1/responses",
        {"previous_response_id": SEALED},
        [],
        refusal("previous_response_not_found", "previous_response_id", quoted=SEALED),
    ),
    (
        "POST",
        "/v1/responses",
        {"previous_response_id": LONG},
        [],
        refusal("previous_response_not_found", "previous_response_id"),
    ),
    ("GET", "/v1/responses/" + SEALED.replace("Z", "%5A"), None, [], refusal("not_found", "path", quoted=SEALED)),
    ("GET", "/v1/responses/resp_1%252F%22%0A", None, [], refusal("not_found", "path")),
    (
        "POST",
        "/v1/batches",
        b'{"input_file_id":"f\\u0069le-AbCdEfGhIjKlMnOpQrStUv"}',
        [],
        refusal("not_found", "input_file_id", quoted="file-AbCdEfGhIjKlMnOpQrStUv"),
    ),
    ("POST", "/v1/responses", b'{"input":"\xff"}', [], refusal("unreadable_body")),
    ("POST", "/v1/responses", b"no json", [], refusal("unreadable_body")),
    (
        "POST",
        "/v1/responses",
        b"a=b",
        [("Content-Type", "application/x-www-form-urlencoded")],
        refusal("unsupported_content_type"),
    ),
    ("POST", "/v1/responses", b"{}", [("Content-Encoding", "gzip")], refusal("unsupported_content_encoding")),
    ("POST", "/v1/responses", b"{" + b" " * 100_000 + b"}", [], refusal("request_too_large")),
    (
        "POST",
        "/v1/responses",
        {"input": [{"type": "reasoning", "encrypted_content": "gAAAAABoAT9sJ0dHhOBbPJsekXeGB9ctp0"}]},
        [],
        refusal("invalid_encrypted_content"),
    ),
]


@pytest.mark.parametrize("method,target,body,headers,expected", CASES, ids=[case[4][1]["code"] for case in CASES])
def test_refusals_are_those_of_the_page(strict, method, target, body, headers, expected):
    answer = strict.ask(method, target, body, headers)
    assert (answer.status, answer.json["error"]) == expected
    assert answer.headers["content-type"] == "application/json" and "set-cookie" not in answer.headers
    if expected[1]["code"] == "unsupported_content_encoding":
        assert answer.headers["accept-encoding"] == "identity"
    # Anthropic's clients expect another form.
    answer = strict.ask(method, target, body, [*headers, ("anthropic-version", "2023-06-01")])
    kind = {404: "not_found_error", 413: "request_too_large"}.get(expected[0], "invalid_request_error")
    assert answer.json == {"type": "error", "error": {"type": kind, "message": expected[1]["message"]}}


def test_ids_of_two_accounts_conflict(strict):
    created = {}
    while len(created) < 2:
        answer = strict.ask("POST", "/v1/responses", {})
        created[answer.account] = answer.json["id"]
    one, other = created.values()
    answer = strict.ask("POST", "/v1/responses", {"previous_response_id": one, "conversation": other})
    expected = refusal("conflicting_accounts", "previous_response_id", "conversation")
    assert (answer.status, answer.json["error"]) == expected


def test_a_websocket_on_a_path_with_sealed_ids_is_refused(strict):
    answer = strict.ask(
        "GET",
        "/v1/responses",
        headers=[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    )
    if strict.server == "gunicorn" or answer.status == 426:
        assert (answer.status, answer.json["error"]) == refusal("websocket_not_supported")
