"""Accounts that keep their own state, behind the gateways that the tests start, and clients in front.

Provider and sessions are those of the Envoy filter's demo.
"""

import http.cookiejar
import http.server
import json
import pathlib
import secrets
import sys
import threading

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "envoy" / "demo"))

import provider  # noqa: E402
from sessions import Session  # noqa: E402, F401

ACCOUNTS = ("alpha", "bravo", "charlie")
PATIENCE = 20


class Accounts(provider.Provider):
    """The demo's provider, that keeps files and conversations too."""

    def __init__(self, *args):
        super().__init__(*args)
        self.made = {account: set() for account in ACCOUNTS}
        self.sealed_seen = []

    def route(self, account, method, path, body):
        try:
            return self.serve_object(account, method, path, body)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # A body of no sense.
            return 200, {"object": "nothing"}

    def serve_object(self, account, method, path, body):
        words = path.partition("?")[0].strip("/").split("/")
        is_json = body[:1] == b"{"
        request = json.loads(body) if is_json else {}
        named = [words[2]] if len(words) > 2 and words[1] != "responses" else []
        named += [request["conversation"]] if "conversation" in request else []
        if isinstance(request.get("input"), list):
            named += [part["file_id"] for item in request["input"] for part in item["content"] if "file_id" in part]
        self.sealed_seen += [name for name in [*named, *words] if name.endswith(("tp0", "tp1", "tp2"))]
        if any(name not in self.made[account] for name in named):
            return provider.error(404, f"No such object: {named}.", None)
        if words[1] == "responses":
            return super().route(account, method, path, body)
        prefix, kind = {"files": ("file-", "file"), "conversations": ("conv_", "conversation")}[words[1]]
        if named:
            return 200, {"id": named[0], "object": kind, "created_at": 1, "metadata": {}}
        self.made[account].add(made := prefix + secrets.token_hex(24))
        return 200, {"id": made, "object": kind, "created_at": 1, "metadata": {}}


class Upstream(http.server.ThreadingHTTPServer):
    """The provider, that also limits accounts, and streams."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.provider = Accounts({name: f"sk-{name}" for name in ACCOUNTS}, "tokenpin=")
        self.limited = {}  # account -> status and headers
        self.first_read = threading.Event()
        self.is_hostile = False  # whether clients name what nobody has
        self.malformed = []  # what came that is no request
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(provider.Handler):
    def send_error(self, code, *args):
        # What http.server cannot parse is the gateway's doing. It knows few methods.
        if code != http.HTTPStatus.NOT_IMPLEMENTED:
            self.server.malformed.append((code, self.raw_requestline))
        super().send_error(code, *args)

    def do_POST(self):
        token = (self.headers.get("authorization") or "").removeprefix("Bearer sk-")
        body = self.read_body()
        if token in self.server.limited:
            status, headers = self.server.limited[token]
            return self.reply(status, {"error": {"message": "Limited."}}, token, headers)
        if self.path == "/v1/embeddings":
            return self.reply(200, EMBEDDING, token)
        status, answer, account = self.server.provider.serve("POST", self.path, self.headers, body)
        if status == 200 and b'"stream":true' in body.replace(b" ", b""):
            return self.stream(account, answer)
        return self.reply(status, answer, account)

    def do_GET(self):
        token = (self.headers.get("authorization") or "").removeprefix("Bearer sk-")
        if token in self.server.limited:
            return self.do_POST()
        return super().do_GET()

    def read_body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

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

    def stream(self, account, response):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-demo-account", account)
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


def client(url, **options):
    return openai.OpenAI(
        api_key="the-gateway-has-the-token", base_url=f"{url}/v1", max_retries=0, timeout=PATIENCE, **options
    )


def without_a_jar(url):
    """A client that keeps no cookies."""
    http_client = openai.DefaultHttpxClient()
    http_client.cookies.jar.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return client(url, http_client=http_client)
