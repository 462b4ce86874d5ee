"""A provider of several accounts, each of which knows only its own objects."""

import itertools
import json
import random
import threading

from upstream import reply

JSON = ("content-type", "application/json")
EVENTS = ("content-type", "text/event-stream")
PREFIXES = {"responses": "resp_", "conversations": "conv_", "files": "file-"}


def missing(request, id):
    error = {"message": f"No such object: {id}", "type": "invalid_request_error", "code": None}
    return reply(request, 404, [JSON], json.dumps({"error": error}).encode())


class Provider:
    """Answers like the APIs for responses, conversations and files; `cut` splits its streams."""

    def __init__(self, cut=None):
        self.accounts = {}  # native id -> its account
        self.cut = cut
        self.draw = random.Random(5)
        self.lock = threading.Lock()

    def made(self, request, prefix):
        with self.lock:
            id = prefix + "".join(self.draw.choices("0123456789abcdef", k=48))
            self.accounts[id] = request.account
        return id

    def named(self, body):
        """The ids in a request's body that must belong to the account."""
        conversation = body.get("conversation")
        if isinstance(conversation, dict):
            conversation = conversation["id"]
        items = body.get("input") if isinstance(body.get("input"), list) else []
        parts = [part for item in items for part in item.get("content", ()) if isinstance(part, dict)]
        files = [part.get("file_id") for part in parts]
        return [id for id in (body.get("previous_response_id"), conversation, *files) if id]

    def __call__(self, request):
        path = request.target.partition("?")[0].split("/")
        kind, rest = path[2], path[3:]
        if rest:
            if self.accounts.get(rest[0]) != request.account:
                return missing(request, rest[0])
            return reply(request, 200, [JSON], json.dumps({"id": rest[0]}).encode())
        if request.method != "POST":
            ids = [id for id, account in self.accounts.items() if account == request.account]
            listed = {"object": "list", "data": [{"id": id} for id in ids]}
            return reply(request, 200, [JSON], json.dumps(listed).encode())
        body = {}
        if kind == "responses":
            body = json.loads(request.body)
            for id in self.named(body):
                if self.accounts.get(id) != request.account:
                    return missing(request, id)
        id = self.made(request, PREFIXES[kind])
        answer = {
            "id": id,
            "object": kind,
            "previous_response_id": body.get("previous_response_id"),
        }
        if not body.get("stream"):
            return reply(request, 200, [JSON], json.dumps(answer).encode())
        return self.stream(request, answer)

    def stream(self, request, answer):
        item = self.made(request, "msg_")
        events = [("response.created", {"response": answer})]
        events += [("response.output_text.delta", {"item_id": item, "delta": "a"})] * 5
        events.append(("response.completed", {"response": answer}))
        text = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n" for name, data in events)
        head = [EVENTS, ("transfer-encoding", "chunked")]
        yield reply(request, 200, head, b"", length=False)
        for part in self.parts(text.encode()):
            yield b"%x\r\n%s\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    def parts(self, data):
        if self.cut is None:
            return [data]
        ends = itertools.accumulate(itertools.cycle([self.cut]), initial=0)
        starts = itertools.takewhile(lambda start: start < len(data), ends)
        return [data[start : start + self.cut] for start in starts]
