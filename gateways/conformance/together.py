"""Three accounts behind all gateways together, and OpenAI's client through one after the other.

    together.py ADAPTER=PROGRAM..

All have one configuration. Each request of a client goes through the next gateway, and names what
an earlier one has created: a response, a conversation, a file, a stream. An account knows nothing
of another's. Once with sealed ids and a client that keeps no cookies, once with cookies and plain
ids. No follow-up may be lost, and accounts must differ between clients: else nothing was at stake.
"""

import http.cookiejar
import importlib
import itertools
import json
import pathlib
import secrets
import sys
import tempfile
import threading

import openai
from cases import BASE
from suite import LOOPBACK, PATIENCE, Provider

CLIENTS = 12
MARKS = ("tp0", "tp1", "tp2")


class Accounts(Provider):
    """Each account knows only its own objects. A sealed id, or a cookie of ours, is an error of the
    gateway's.
    """

    def __init__(self):
        super().__init__()
        self.made, self.lost, self.wrong = {}, [], []
        self.lock = threading.Lock()

    def reply(self, connection, seen):
        with self.lock:
            self.answer = {"headers": [["Content-Type", "application/json"]], **self.act(seen)}
            super().reply(connection, seen)

    def act(self, seen):
        if "pin=" in "".join(seen.values("cookie")):
            self.wrong.append(f"a cookie: {seen.headers}")
        words = seen.target.partition("?")[0].strip("/").split("/")[1:]
        body = json.loads(seen.body) if seen.body[:1] == b"{" else {}
        named = words[1:2] + [body[key] for key in ("previous_response_id", "conversation") if body.get(key)]
        named += (
            [part["file_id"] for item in body["input"] for part in item["content"] if "file_id" in part]
            if isinstance(body.get("input"), list)
            else []
        )
        for id in named:
            if id.endswith(MARKS):
                self.wrong.append(f"a sealed id: {id}")
            if self.made.get(id) != seen.account:
                self.lost.append(f"{seen.method} {seen.target} as {seen.account}: {id} is {self.made.get(id)}'s")
                return {
                    "status": 404,
                    "body": json.dumps(
                        {
                            "error": {
                                "message": f"No such object: {id}",
                                "type": "invalid_request_error",
                                "param": None,
                                "code": None,
                            }
                        }
                    ),
                }
        if seen.method == "DELETE":
            del self.made[words[1]]
            return {"status": 200, "body": json.dumps({"id": words[1], "object": "file", "deleted": True})}
        if words[1:]:
            return {"status": 200, "body": json.dumps(self.object(words[0], words[1], seen, body))}
        id = {"responses": "resp_", "conversations": "conv_", "files": "file-"}[words[0]] + secrets.token_hex(24)
        self.made[id] = seen.account
        made = self.object(words[0], id, seen, body)
        if body.get("stream"):
            events = [
                {"type": kind, "sequence_number": number, "response": made}
                for number, kind in enumerate(("response.created", "response.completed"))
            ]
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
            return {"status": 200, "headers": [["Content-Type", "text/event-stream"]], "body": text}
        return {"status": 200, "body": json.dumps(made)}

    def object(self, kind, id, seen, body):
        if kind != "responses":
            return {"id": id, "object": kind.removesuffix("s"), "created_at": 1, "metadata": {"account": seen.account}}
        text = {"type": "output_text", "text": "Hello.", "annotations": []}
        message = {
            "id": "msg_" + secrets.token_hex(20),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [text],
        }
        return {
            "id": id,
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": body.get("model", "demo"),
            "output": [message],
            "error": None,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "metadata": {"account": seen.account},
            "previous_response_id": body.get("previous_response_id"),
        }


def follow(ports, with_cookies):
    """One client's session, each request through the next gateway. The accounts that it met."""
    http_client = openai.DefaultHttpxClient(trust_env=False)
    if not with_cookies:
        http_client.cookies.jar.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    client = openai.OpenAI(
        api_key="nobody's", base_url="http://gateway", max_retries=0, timeout=PATIENCE, http_client=http_client
    )

    def ask():
        return client.with_options(base_url=f"http://{LOOPBACK}:{next(ports)}/v1")

    first = ask().responses.create(model="demo", input="Hello.")
    accounts, last = {first.metadata["account"]}, first
    for _ in range(4):
        last = ask().responses.create(model="demo", input="And?", previous_response_id=last.id)
        accounts.add(last.metadata["account"])
        assert ask().responses.retrieve(first.id).id == first.id
    with ask().responses.create(model="demo", input="x", previous_response_id=last.id, stream=True) as stream:
        streamed = [event.response.id for event in stream][-1]
    assert ask().responses.retrieve(streamed).id == streamed
    conversation = ask().conversations.create()
    # Of the response only the conversation is named: without a cookie it may live in another
    # account.
    ask().responses.create(model="demo", input="x", conversation=conversation.id)
    assert ask().conversations.retrieve(conversation.id).id == conversation.id
    file = ask().files.create(file=("a.txt", b"text"), purpose="user_data")
    part = {"type": "input_file", "file_id": file.id}
    ask().responses.create(model="demo", input=[{"role": "user", "content": [part]}])
    assert ask().files.retrieve(file.id).id == file.id
    assert ask().files.delete(file.id).deleted
    if not with_cookies:
        assert all(id.endswith(MARKS) for id in (first.id, last.id, streamed, conversation.id, file.id))
    return accounts


def main(words):
    provider, met, wrong = Accounts(), set(), []
    for mode, with_cookies in (("seal", False), ("off", True)):
        gateways = []
        with tempfile.TemporaryDirectory() as folder:
            try:
                for word in words:
                    name, _, program = word.partition("=")
                    (pathlib.Path(folder) / name).mkdir()
                    adapter = importlib.import_module(f"adapters.{name}")
                    gateways.append(adapter.Gateway(program, provider.port, pathlib.Path(folder) / name))
                    gateways[-1].start({**BASE, "sealed_ids": mode})
                for number in range(CLIENTS):
                    # Each begins at another gateway.
                    ports = itertools.cycle([gateway.port for gateway in gateways])
                    accounts = follow(itertools.islice(ports, number, None), with_cookies)
                    met |= accounts
                    if len(accounts) != 1:
                        wrong.append(f"a conversation in {accounts}")
            finally:
                for gateway in gateways:
                    gateway.stop()
    wrong += provider.lost + provider.wrong + provider.malformed
    print(
        f"{2 * CLIENTS} clients through {len(words)} gateways in turn: {len(provider.seen)} requests, "
        f"{len(provider.lost)} follow-ups lost, accounts met: {sorted(met)}"
    )
    if wrong or len(met) != 3:
        sys.exit("\n".join(map(str, wrong)) or "too few accounts")


if __name__ == "__main__":
    main(sys.argv[1:])
