"""Accounts that keep their own state, behind the gateways that the tests start, and clients in
front.
"""

import http.cookiejar
import http.server
import json
import secrets
import threading
import time

import openai

ACCOUNTS = ("alpha", "bravo", "charlie")
PATIENCE = 20


def error(status, message, code=None, param=None):
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Accounts:
    """Three accounts with responses, files and conversations. What one has made, another one does
    not know.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.responses = {account: {} for account in ACCOUNTS}
        self.made = {account: set() for account in ACCOUNTS}
        self.not_found = self.unknown_token = self.cookie_seen = 0
        self.sealed_seen = []

    def serve(self, method, path, headers, body):
        """The status, the answer, and the account that served it."""
        scheme, _, token = (headers.get("authorization") or "").partition(" ")
        account = token.removeprefix("sk-")
        with self.lock:
            self.cookie_seen += "tokenpin=" in "; ".join(headers.get_all("cookie") or [])
            if scheme != "Bearer" or account not in ACCOUNTS:
                self.unknown_token += 1
                return *error(401, "Incorrect API key provided."), ""
            try:
                status, answer = self.serve_object(account, method, path, body)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                # A body of no sense.
                status, answer = 200, {"object": "nothing"}
            self.not_found += status == 404
        return status, answer, account

    def serve_object(self, account, method, path, body):
        words = path.partition("?")[0].strip("/").split("/")
        request = json.loads(body) if body[:1] == b"{" else {}
        named = [words[2]] if len(words) > 2 and words[1] != "responses" else []
        named += [request["conversation"]] if "conversation" in request else []
        if isinstance(request.get("input"), list):
            named += [part["file_id"] for item in request["input"] for part in item["content"] if "file_id" in part]
        self.sealed_seen += [name for name in [*named, *words] if name.endswith(("tp0", "tp1", "tp2"))]
        if any(name not in self.made[account] for name in named):
            return error(404, f"No such object: {named}.")
        if words[1] == "responses":
            return self.serve_response(account, method, words[2:], request)
        prefix, kind = {"files": ("file-", "file"), "conversations": ("conv_", "conversation")}[words[1]]
        if not named:
            named = [prefix + secrets.token_hex(24)]
            self.made[account].add(named[0])
        return 200, {"id": named[0], "object": kind, "created_at": 1, "metadata": {}}

    def serve_response(self, account, method, words, request):
        store = self.responses[account]
        if words:
            found = store.get(words[0]) if method == "GET" else None
            return (200, found) if found else error(404, "Response not found.")
        previous = request.get("previous_response_id")
        if previous is not None and previous not in store:
            return error(404, f"Previous response with id '{previous}' not found.", "previous_response_not_found")
        response = make_response(request, store.get(previous))
        store[response["id"]] = response
        return 200, response


def make_response(request, previous):
    """A response that the client parses: it counts the turns of its conversation."""
    turn = int(previous["metadata"]["turn"]) + 1 if previous else 1
    text = {"type": "output_text", "text": f"This is turn {turn}.", "annotations": []}
    message = {"id": "msg_" + secrets.token_hex(24), "type": "message", "role": "assistant", "status": "completed"}
    return {
        "id": "resp_" + secrets.token_hex(24),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "metadata": {"turn": str(turn)},
        "model": request.get("model"),
        "output": [{**message, "content": [text]}],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "tool_choice": "auto",
        "tools": [],
    }


class Upstream(http.server.ThreadingHTTPServer):
    """The provider, that also limits accounts, and streams."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.provider = Accounts()
        self.limited = {}  # account -> status and headers
        self.first_read = threading.Event()
        self.is_hostile = False  # True if clients name unknown objects
        self.malformed = []  # what came that is no request
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one segment

    def log_message(self, *_):
        pass

    def send_error(self, code, *args):
        # A request that http.server cannot parse is the gateway's defect. It knows few methods.
        if code != http.HTTPStatus.NOT_IMPLEMENTED:
            self.server.malformed.append((code, self.raw_requestline))
        super().send_error(code, *args)

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        token = (self.headers.get("authorization") or "").removeprefix("Bearer sk-")
        body = self.read_body()
        if token in self.server.limited:
            status, headers = self.server.limited[token]
            return self.reply(status, {"error": {"message": "Limited."}}, token, headers)
        if self.path == "/v1/embeddings":
            return self.reply(200, EMBEDDING, token)
        status, answer, account = self.server.provider.serve(self.command, self.path, self.headers, body)
        if status == 200 and b'"stream":true' in body.replace(b" ", b""):
            return self.stream(account, answer)
        return self.reply(status, answer, account)

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
