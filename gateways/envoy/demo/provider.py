"""A stand-in for a model provider that keeps state inside the account.

Each API token has its own store, so an object of one token does not exist for another.

    provider.py [--watch-cookie NAME] ACCOUNT=VARIABLE...

where the environment variable holds the account's token. Prints its port, serves until killed.

It is as sloppy as real providers about missing objects: a stream after an unknown response is 200
with an error in it, an unknown conversation begins as an empty one, and a vector store of unknown
files is 200 with files that failed. The answer of its model says how much it knew: "This is turn 3,
with 2 files."

Besides the provider's API there is a control API for the demo:

    GET  /control/counters          what was seen
    POST /control/fail/ACCOUNT      answer 503 for this account's token from now on
    POST /control/recover/ACCOUNT
"""

import argparse
import email.message
import http.server
import json
import os
import re
import secrets
import socketserver
import string
import threading
import time

SEALED = re.compile(r"[A-Za-z0-9_-]{23,}tp[0-9]")


class Account:
    """The objects of one account."""

    def __init__(self):
        self.responses = {}  # id -> the answer
        self.turns = {}  # id of a response -> the number of responses up to it
        self.conversations = {}  # id -> its items
        self.files = {}  # id -> content
        self.stores = {}  # id -> the files in it that were found


class Provider:
    """The accounts and what they remember."""

    def __init__(self, tokens, watched_cookie):
        self.account_of = {token: account for account, token in tokens.items()}
        self.watched_cookie = watched_cookie
        self.lock = threading.Lock()
        self.accounts = {account: Account() for account in tokens}
        self.failed = set()
        self.requests = dict.fromkeys(tokens, 0)
        self.unknown_token = self.cookie_seen = self.sealed_seen = 0

    def counters(self):
        with self.lock:
            return {
                "requests": dict(self.requests),
                "unknown_token": self.unknown_token,
                "cookie_seen": self.cookie_seen,
                "sealed_seen": self.sealed_seen,
            }

    def control(self, method, words):
        if method == "GET" and words == ["counters"]:
            return 200, self.counters()
        if method == "POST" and len(words) == 2 and words[1] in self.accounts:
            if words[0] == "fail":
                self.failed.add(words[1])
                return 200, {}
            if words[0] == "recover":
                self.failed.discard(words[1])
                return 200, {}
        return error(404, "No such control.", None)

    def serve(self, method, path, headers, body):
        """Returns the status, the answer and the account that served it.

        An answer is a document, bytes, or a list of the events of a stream.
        """
        cookies = "; ".join(headers.get_all("cookie") or [])
        scheme, _, token = (headers.get("authorization") or "").partition(" ")
        account = self.account_of.get(token) if scheme == "Bearer" else None
        with self.lock:
            self.cookie_seen += bool(self.watched_cookie and self.watched_cookie in cookies)
            self.sealed_seen += bool(SEALED.search(path) or SEALED.search(body.decode("latin-1")))
            if account is None:
                self.unknown_token += 1
                return *error(401, "Incorrect API key provided.", "invalid_api_key"), ""
            self.requests[account] += 1
        if account in self.failed:
            return *error(503, "The account is unavailable.", "account_unavailable"), account
        words = path.partition("?")[0].strip("/").split("/")[1:]
        try:
            status, answer = self.route(self.accounts[account], method, words, headers, body)
        except KeyError as unknown:
            status, answer = error(404, f"No such object: {unknown}.", None)
        return status, answer, account

    def route(self, account, method, words, headers, body):
        match method, *words:
            case "POST", "responses":
                return self.respond(account, json.loads(body))
            case "GET", "responses", id:
                return 200, account.responses[id]
            case "POST", "conversations":
                id = f"conv_{secrets.token_hex(24)}"
                account.conversations[id] = []
                return 200, {"id": id, "object": "conversation", "created_at": 1, "metadata": {}}
            case "GET", "conversations", id, "items":
                return 200, listed(account.conversations[id])
            case "POST", "files":
                id = f"file-{''.join(secrets.choice(string.ascii_letters) for _ in range(24))}"
                account.files[id] = uploaded(headers, body)
                return 200, described(id, account.files[id])
            case "GET", "files":
                return 200, listed([])
            case "GET", "files", id, "content":
                return 200, account.files[id]
            case "POST", "vector_stores":
                return 200, self.make_store(account, json.loads(body))
            case "GET", "vector_stores", id, "files":
                files = [{"id": file, "vector_store_id": id} for file in account.stores[id]]
                shared = {"object": "vector_store.file", "created_at": 1, "usage_bytes": 1}
                return 200, listed([{**file, **shared, "status": "completed"} for file in files])
        return error(404, f"Unknown request URL: {method} /{'/'.join(words)}.", "unknown_url")

    def make_store(self, account, request):
        id = f"vs_{secrets.token_hex(16)}"
        named = request.get("file_ids", [])
        found = [file for file in named if file in account.files]
        account.stores[id] = found
        counts = {"in_progress": 0, "cancelled": 0, "completed": len(found), "total": len(named)}
        return {
            "id": id,
            "object": "vector_store",
            "created_at": 1,
            "name": request.get("name"),
            "usage_bytes": 0,
            "file_counts": {**counts, "failed": len(named) - len(found)},
            "status": "completed",
            "last_active_at": 1,
            "metadata": {},
        }

    def respond(self, account, request):
        previous, stream = request.get("previous_response_id"), request.get("stream")
        if previous is not None and previous not in account.responses:
            message = f"Previous response with id '{previous}' not found."
            if stream:
                return 200, [{"type": "error", "code": "404", "message": message, "param": None}]
            return error(404, message, "previous_response_not_found", "previous_response_id")
        turn = account.turns.get(previous, 0) + 1
        talk = request.get("conversation")
        if talk is not None:
            items = account.conversations.setdefault(talk, [])
            turn = len(items) // 2 + 1
        files = files_of(account, request)
        text = f"This is turn {turn}, with {len(files)} files."
        answer = make_response(request, text)
        account.responses[answer["id"]] = answer
        account.turns[answer["id"]] = turn
        if talk is not None:
            said = {"type": "input_text", "text": "Continue."}
            user = {"id": item_id(), "type": "message", "role": "user", "status": "completed"}
            items += [{**user, "content": [said]}, *answer["output"]]
        return 200, events_of(answer) if stream else answer


def error(status, message, code, param=None):
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


def item_id():
    return f"msg_{secrets.token_hex(24)}"


def listed(data):
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, "has_more": False, **ends}


def described(id, content):
    file = {"id": id, "object": "file", "bytes": len(content), "created_at": 1}
    return {**file, "filename": "a.txt", "purpose": "assistants", "status": "processed"}


def uploaded(headers, body):
    """The file in a form."""
    form = email.message.Message()
    form["content-type"] = headers["content-type"]
    boundary = form.get_param("boundary").encode()
    for part in body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return content.removesuffix(b"\r\n")
    raise KeyError("no file")


def files_of(account, request):
    """The existing files that a request names, directly or by its vector stores."""
    named = []
    for tool in request.get("tools") or []:
        for store in tool.get("vector_store_ids", []):
            named += account.stores.get(store, [])
    for item in request["input"] if isinstance(request["input"], list) else []:
        parts = item.get("content")
        for part in parts if isinstance(parts, list) else []:
            named += [part["file_id"]] if part.get("file_id") in account.files else []
    return named


def make_response(request, text):
    """A Response object that clients parse."""
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": item_id(), "type": "message", "role": "assistant", "status": "completed"}
    talk = request.get("conversation")
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": request.get("model"),
        "output": [{**message, "content": [content]}],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "conversation": {"id": talk} if talk else None,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def events_of(answer):
    begun = {**answer, "status": "in_progress", "output": []}
    (item,) = answer["output"]
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events = [{"type": "response.created", "response": begun}]
    for word in item["content"][0]["text"].split(" "):
        delta = {"delta": word, "logprobs": []}
        events.append({"type": "response.output_text.delta", **where, **delta})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": answer})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


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
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        provider = self.server.provider
        if self.path.startswith("/control/"):
            status, answer = provider.control(self.command, self.path.split("/")[2:])
            account = ""
        else:
            status, answer, account = provider.serve(self.command, self.path, self.headers, body)
        self.send_response(status)
        self.send_header("x-demo-account", account)
        if isinstance(answer, list):
            self.send_events(answer)
            return
        kind = "application/octet-stream" if isinstance(answer, bytes) else "application/json"
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_events(self, events):
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events:
            text = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            # In two parts, as a network might deliver it.
            for part in (text[:61], text[61:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

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
