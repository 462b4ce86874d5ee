"""Cases that are not written down: requests and answers, put together at random, under a few of the
table's configurations.
"""

import json
import random

from cases import ANTHROPIC_FILE, BATCH, CONFIGS, CONVERSATION, FILE_ID, JSON, OTHER, RESPONSE
from model import ACCOUNTS, FIXED, Unclear, cookie, expected, marked, sealed, twin

USED = [
    "off",
    "open",
    "seal",
    "strict",
    "alpha down until",
    "alpha draining",
    "keyed cookies",
    "combined",
    "owner",
    "rotation",
    "fallback",
    "vacant",
]
PATHS = [
    "/v1/responses",
    "/v1/responses/{id}",
    "/v1/responses/{id}/input_items",
    "/v1/conversations/{id}/items",
    "/v1/files",
    "/v1/files/{id}",
    "/v1/files/{id}/content",
    "/openai/v1/batches/{id}/cancel",
    "/v1/messages/batches/{id}",
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/vector_stores/{id}/files/{id}",
    "/v1/files?after={id}",
    "/v1/threads/{id}/runs",
    "/v1/uploads",
]
NATIVE = [RESPONSE, OTHER, FILE_ID, CONVERSATION, BATCH, ANTHROPIC_FILE, "vs_68a1", "thread_abc", "plain", "cntr_1"]


class Draw:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.by_provider = False  # which knows native ids only

    def one(self, *of):
        return self.random.choice(of)

    def chance(self, percent):
        return self.random.random() * 100 < percent

    def id(self):
        native, owner = self.one(*NATIVE), b"bob" if self.chance(15) else b""
        if self.by_provider or self.chance(35):
            return native
        account = self.one(*ACCOUNTS, *ACCOUNTS, "zulu")
        key, key_id = (("SUITE_KEY_2", 2),) * self.chance(10) and ("SUITE_KEY_2", 2) or ("SUITE_KEY_1", 1)
        text = sealed(native, account, key, key_id, owner)
        if self.chance(5):
            at = self.random.randrange(len(text))
            text = text[:at] + self.one("A", "z", "_", "0") + text[at + 1 :]
        return text

    def cookies(self):
        account, key = self.one(*ACCOUNTS, "zulu"), None
        if self.chance(20):
            key = self.one(twin.consumer_key(b"bob"), twin.session_key(b"s-1"), twin.combined_key(b"bob", b"s-1"))
        value = cookie(
            account,
            key,
            key_id=self.one(1, 1, 1, 2),
            issued_at=FIXED + self.random.randrange(100),
            id=self.random.randbytes(16),
        )
        if self.chance(10):
            value = self.one(value[:-1], value + "A", "A" + value[1:], value.lower(), "")
        return self.one("pin=%s", "a=1; pin=%s", "pin=%s; b=2", 'x="1;2"; pin="%s";c', "PIN=%s", " pin =%s ") % value

    def document(self, depth=0):
        """Of any shape, with ids under keys that are listed and under others."""
        if depth > 3 or self.chance(30):
            return self.one("Hello.", self.id(), "\u00e4\u00f6", 'quo"te\\', "", 7, -1.5, True, None, "tp1")
        if self.chance(25):
            return [self.document(depth + 1) for _ in range(self.random.randrange(4))]
        keys = [
            "id",
            "previous_response_id",
            "conversation",
            "file_id",
            "file_ids",
            "input",
            "output",
            "content",
            "item_id",
            "text",
            "metadata",
            "container",
            "data",
            "first_id",
            "encrypted_content",
            "response",
            "role",
            "type",
            "batch_id",
            "vector_store_ids",
        ]
        made = {}
        for _ in range(self.random.randrange(1, 5)):
            key = self.one(*keys)
            made[key] = self.id() if self.chance(40) else self.document(depth + 1)
            if key == "encrypted_content" and self.chance(70):
                made[key] = marked("gAAAAA" + "x" * self.random.randrange(60), self.one(*ACCOUNTS))
        return made

    def text(self):
        document = self.document()
        document = document if isinstance(document, (dict, list)) else {"id": document}
        text = json.dumps(
            document, ensure_ascii=self.chance(50), separators=self.one((",", ":"), (", ", ": "), (" ,\t", " :\n"))
        )
        text = text.encode().decode("latin-1")
        return text[: self.random.randrange(len(text))] if self.chance(4) else text

    def request(self):
        target = self.one(*PATHS)
        while "{id}" in target:
            target = target.replace("{id}", self.id(), 1)
        method = self.one("GET", "GET", "POST", "POST", "POST", "DELETE", "HEAD")
        headers, body = [], None
        for name, percent, values in (
            ("X-Consumer", 20, ("bob", "eve", "bob, bob", "a,b", "")),
            ("X-Session", 20, ("s-1", "s-2", "")),
            ("X-Affinity", 10, ("", None)),
            ("Anthropic-Version", 20, ("2023-06-01",)),
            ("Authorization", 50, ("Bearer mine",)),
            ("X-Api-Key", 20, ("mine",)),
            ("X-Other", 20, ("kept",)),
            ("Cookie", 45, (None,)),
            ("Cookie", 10, (None,)),
        ):
            if self.chance(percent):
                value = self.one(*values)
                field = self.cookies() if value is None else value
                headers.append(
                    [name, field if name == "Cookie" else field.split("=")[-1].strip('" ;') if value is None else value]
                )
        if method == "POST":
            headers.append(
                self.one(
                    JSON,
                    JSON,
                    JSON,
                    ["Content-Type", "application/json; charset=utf-8"],
                    ["Content-Type", "text/plain"],
                )
            )
            body = self.text()
        return {"method": method, "target": target, "headers": headers, "body": body}

    def answer(self):
        self.by_provider = True
        status, kind = (
            self.one(200, 200, 200, 201, 400, 404, 429, 500),
            self.one("application/json", "application/json", "text/event-stream", "text/plain"),
        )
        body = self.text()
        if kind == "text/event-stream":
            end = self.one("\n", "\r\n")
            body = (
                "".join(f"event: x{end}data: {self.text().replace(chr(10), ' ')}{end}{end}" for _ in range(3))
                + f"data: [DONE]{end}{end}"
            )
        headers = [["Content-Type", kind], ["X-Upstream", "said so"]]
        headers += [["Location", f"/v1/responses/{self.one(*NATIVE)}"]] if self.chance(10) else []
        headers += [["Set-Cookie", self.one("pin=theirs", "lang=en")]] if self.chance(10) else []
        self.by_provider = False
        return {"status": status, "headers": headers, "body": body}


def drawn(seed, count):
    draw, cases = Draw(seed), []
    while len(cases) < count:
        case = {
            "name": f"drawn {len(cases)}",
            "config": draw.one(*USED),
            "request": draw.request(),
            "answer": draw.answer(),
        }
        try:
            case["expect"] = expected(CONFIGS[case["config"]], case["request"], case["answer"])
        except Unclear:
            continue
        cases.append(case)
    return cases
