"""A stand-in for the model behind a real server. It keeps nothing, and counts its input.

    model.py

Prints its port, serves until killed. It serves the APIs that such servers use: responses, chat
completions and embeddings. Its answer is "I got N messages." and N is the number of the user's
messages in the request, so history that a server lost shows as a smaller number. Where the user
says `call NAME`, it calls that function.

It is no kinder than a real model. It refuses an id with 400 that is too long, has an odd character,
or has the wrong prefix for its item. It also refuses any sealed id, which no server must ever see.
It cuts streams at odd places.

    GET /control/refused    the ids that it refused
"""

import hashlib
import http.server
import json
import math
import re
import secrets
import socketserver
import time

DIMENSION = 64
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SEALED = re.compile(r"[A-Za-z0-9_-]{23,}tp[0-9]")
PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
PIECE = 37  # bytes of a stream that go out together: less than an event, and no divisor of one

refused = []


class Refused(Exception):
    pass


def strings(value):
    """All strings of a document, except text that a user or a model wrote."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (key in ("text", "content", "output", "arguments") and isinstance(inner, str)):
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def check_ids(request):
    for text in strings(request):
        if SEALED.fullmatch(text):
            refused.append(text)
            raise Refused(f"no such id: {text}")
    items = request.get("input")
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict) or item.get("id") is None:
            continue  # a text to embed; an item without an id
        id, kind = item["id"], item.get("type", "message")
        prefix = PREFIXES.get(kind, "")
        if not ID.fullmatch(id) or not id.startswith(prefix):
            refused.append(id)
            raise Refused(f"invalid id of a {kind}: {id}")


def text_of(content):
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or [])


def told(messages):
    """The texts of the user's messages, in order."""
    return [text_of(each.get("content")) for each in messages if each.get("role") == "user"]


def wanted_call(messages):
    """The function that the last message asks for."""
    last = messages[-1] if messages else {}
    words = text_of(last.get("content")).split() if last.get("role") == "user" else []
    return words[1] if len(words) == 2 and words[0] == "call" else None


def sentence(messages):
    return f"I got {len(told(messages))} messages."


def response(request):
    items = request["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    name = wanted_call(items)
    if name:
        call = {"id": f"fc_{secrets.token_hex(24)}", "type": "function_call", "status": "completed"}
        call |= {"call_id": f"call_{secrets.token_hex(12)}", "name": name, "arguments": "{}"}
        output = [call]
    else:
        text = {"type": "output_text", "text": sentence(items), "annotations": [], "logprobs": []}
        message = {"id": f"msg_{secrets.token_hex(24)}", "type": "message", "role": "assistant"}
        output = [message | {"status": "completed", "content": [text]}]
    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    usage |= {"input_tokens_details": {"cached_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": request.get("model"),
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
        "usage": usage,
    }


def response_events(final):
    """The events of a streamed response, in the order in which models send them."""
    begun = {**final, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(final["output"]):
        where = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "function_call":
            opened = {**item, "status": "in_progress", "arguments": ""}
            yield {"type": "response.output_item.added", "output_index": index, "item": opened}
            yield {"type": "response.function_call_arguments.delta", **where, "delta": "{}"}
            done = {"arguments": "{}", "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **where, **done}
        else:
            opened = {**item, "status": "in_progress", "content": []}
            yield {"type": "response.output_item.added", "output_index": index, "item": opened}
            where["content_index"] = 0
            (part,) = item["content"]
            empty = {**part, "text": ""}
            yield {"type": "response.content_part.added", **where, "part": empty}
            for word in part["text"].split(" "):
                delta = word if word.endswith(".") else f"{word} "
                yield {"type": "response.output_text.delta", **where, "delta": delta, "logprobs": []}
            done = {"text": part["text"], "logprobs": []}
            yield {"type": "response.output_text.done", **where, **done}
            yield {"type": "response.content_part.done", **where, "part": part}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": final}


def named(events):
    for number, event in enumerate(events):
        event = {**event, "sequence_number": number}
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def completion(request):
    message = {"role": "assistant", "content": sentence(request["messages"])}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage,
    }


def completion_chunks(final):
    base = {**final, "object": "chat.completion.chunk"}
    usage = base.pop("usage")
    words = final["choices"][0]["message"]["content"].split(" ")
    deltas = [{"role": "assistant", "content": ""}]
    deltas += [{"content": w if w.endswith(".") else f"{w} "} for w in words]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({**base, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def vector(text):
    """Returns the same vector for the same text, and other directions for other texts."""
    raw = hashlib.shake_256(text.encode()).digest(DIMENSION)
    values = [byte - 127.5 for byte in raw]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def embeddings(request):
    texts = request["input"]
    texts = [texts] if isinstance(texts, str) else texts
    data = [{"object": "embedding", "index": index, "embedding": vector(text)} for index, text in enumerate(texts)]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "data": data, "model": request["model"], "usage": usage}


def models():
    kinds = ["model", "embedding"]
    data = [{"id": id, "object": "model", "created": 1, "owned_by": "nobody"} for id in kinds]
    return {"object": "list", "data": data}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        paths = {"/v1/models": models, "/control/refused": lambda: refused, "/health": dict}
        found = paths.get(self.path.partition("?")[0])
        self.send_json(200, found()) if found else self.send_json(404, {"error": "no such path"})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        try:
            check_ids(request)
        except Refused as why:
            error = {"message": str(why), "type": "invalid_request_error"}
            return self.send_json(400, {"error": error})
        if self.path == "/v1/embeddings":
            return self.send_json(200, embeddings(request))
        make, events = {
            "/v1/responses": (response, lambda final: named(response_events(final))),
            "/v1/chat/completions": (completion, completion_chunks),
        }[self.path]
        final = make(request)
        if request.get("stream"):
            self.send_events("".join(events(final)).encode())
        else:
            self.send_json(200, final)

    def send_json(self, status, answer):
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_events(self, text):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
