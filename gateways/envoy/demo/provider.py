"""A stand-in for a model provider that keeps state inside the account.

Each API token has a store of its own, so a response made with one token does not exist for another.

    provider.py [--watch-cookie NAME] ACCOUNT=VARIABLE...

where the environment variable holds the account's token. Prints its port, serves until killed.
Besides the provider's API there is a control API for the demo:

    GET  /control/counters          what was seen since the last reset
    POST /control/reset             zero the counters (the stores stay)
    POST /control/fail/ACCOUNT      answer 503 for this account's token from now on
    POST /control/recover/ACCOUNT
"""

import argparse
import http.server
import json
import os
import secrets
import socketserver
import threading
import time


class Provider:
    """The accounts and what they remember."""

    def __init__(self, tokens, watched_cookie):
        self.account_of = {token: account for account, token in tokens.items()}
        self.watched_cookie = watched_cookie
        self.lock = threading.Lock()
        self.responses = {account: {} for account in tokens}
        self.failed = set()
        self.reset()

    def reset(self):
        with self.lock:
            self.requests = dict.fromkeys(self.responses, 0)
            self.not_found = 0
            self.unknown_token = 0
            self.cookie_seen = 0

    def counters(self):
        with self.lock:
            return {
                "requests": dict(self.requests),
                "not_found": self.not_found,
                "unknown_token": self.unknown_token,
                "cookie_seen": self.cookie_seen,
            }

    def control(self, method, words):
        if method == "GET" and words == ["counters"]:
            return 200, self.counters()
        if method == "POST" and words == ["reset"]:
            self.reset()
            return 200, {}
        if method == "POST" and len(words) == 2 and words[1] in self.responses:
            if words[0] == "fail":
                self.failed.add(words[1])
                return 200, {}
            if words[0] == "recover":
                self.failed.discard(words[1])
                return 200, {}
        return error(404, "No such control.", None)

    def serve(self, method, path, headers, body):
        """Returns the status, the JSON answer and the account that served it."""
        cookies = "; ".join(headers.get_all("cookie") or [])
        scheme, _, token = (headers.get("authorization") or "").partition(" ")
        account = self.account_of.get(token) if scheme == "Bearer" else None
        with self.lock:
            if self.watched_cookie and self.watched_cookie in cookies:
                self.cookie_seen += 1
            if account is None:
                self.unknown_token += 1
                return *error(401, "Incorrect API key provided.", "invalid_api_key"), ""
            self.requests[account] += 1
        if account in self.failed:
            return *error(503, "The account is unavailable.", "account_unavailable"), account
        status, answer = self.route(account, method, path, body)
        if status == 404:
            with self.lock:
                self.not_found += 1
        return status, answer, account

    def route(self, account, method, path, body):
        store = self.responses[account]
        words = path.partition("?")[0].strip("/").split("/")
        if words == ["v1", "responses"] and method == "POST":
            request = json.loads(body)
            previous = request.get("previous_response_id")
            if previous is not None and previous not in store:
                return no_such_response(
                    f"Previous response with id '{previous}' not found.",
                    "previous_response_id",
                    "previous_response_not_found",
                )
            response = make_response(account, request, store.get(previous))
            store[response["id"]] = response
            return 200, response
        if words[:2] == ["v1", "responses"] and len(words) == 3 and method == "GET":
            if words[2] in store:
                return 200, store[words[2]]
            return no_such_response(f"Response with id '{words[2]}' not found.", None, None)
        if words == ["v1", "files"] and method == "GET":
            return 200, {"object": "list", "data": [], "has_more": False}
        return error(404, f"Unknown request URL: {method} {path}.", "unknown_url")


def error(status, message, code, param=None):
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


def no_such_response(message, param, code):
    return error(404, message, code, param)


def make_response(account, request, previous):
    """A Response object that the client parses: it counts the turns of its conversation."""
    turn = int(previous["metadata"]["turn"]) + 1 if previous else 1
    text = {"type": "output_text", "text": f"This is turn {turn}.", "annotations": []}
    return {
        "id": "resp_" + secrets.token_hex(24),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {"account": account, "turn": str(turn)},
        "model": request.get("model"),
        "output": [
            {
                "id": "msg_" + secrets.token_hex(24),
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [text],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one segment

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        provider = self.server.provider
        if self.path.startswith("/control/"):
            status, answer = provider.control(self.command, self.path.split("/")[2:])
            account = ""
        else:
            status, answer, account = provider.serve(self.command, self.path, self.headers, body)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("x-demo-account", account)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--watch-cookie", default="")
    parser.add_argument("accounts", nargs="+", metavar="ACCOUNT=VARIABLE")
    args = parser.parse_args()
    tokens = {}
    for pair in args.accounts:
        account, _, variable = pair.partition("=")
        tokens[account] = os.environ[variable]
    server = Server(("127.0.0.1", 0), Handler)
    server.provider = Provider(tokens, args.watch_cookie)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
