"""Sealed ids that no account serves, and the answers to them."""

import json
from pathlib import Path

import pytest
import tokenpin_twin as twin
from provider import JSON

from gateway import COOKIE_KEYS, forge, tokens
from ids import ANTHROPIC, FORGED, GONE, HANDSHAKE, NATIVE, OTHER, marked, posted, sealed

UNKNOWN = sealed(NATIVE, "alpha", ring=[twin.RingKey(9, COOKIE_KEYS[1], twin.SIGN)])
LATER = "resp_" + "A" * 56 + "tp7"


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
def test_what_cannot_be_found_is_refused_alike(sealing, path):
    """Only the counters show whether there is such an account."""
    g = sealing("strict")
    names = {"gone": GONE, "bad_seal": FORGED, "unknown_key": UNKNOWN, "unknown_version": LATER}
    names["plain"] = NATIVE
    answers = {}
    for why, id in names.items():
        for where in ("path", "previous_response_id", "file_id", "encrypted_content"):
            if where == "encrypted_content" and why != "gone":
                continue
            with g.counting() as rose:
                if where == "path":
                    asked = f"{path}/batches/{id}" if "messages" in path else f"{path}/{id}"
                    answer = g.send("GET", asked, headers=[ANTHROPIC])
                else:
                    id = marked("gAAAAABoQUJD", "nobody") if where == "encrypted_content" else id
                    body = {"input": [{"type": "message", where: id}]}
                    if where == "previous_response_id":
                        body = {where: id}
                    answer = posted(g, body, path=path)
            assert rose["outcome_rejected"] == 1 and not g.upstream.requests, (why, where)
            verdict = "sealed" if why == "gone" else why
            assert rose[f"id_verdict_{verdict}"] == 1
            assert rose["pin_state_gone" if why == "gone" else "pin_state_none"] == 1
            text = answer.body.decode().replace(id, "ID")
            told = (answer.status, text, answer.values("retry-after"))
            assert answers.setdefault(where, told) == told, why
    status, body, _ = answers["path"]
    assert status == 404
    assert json.loads(body) == {
        "type": "error",
        "error": {
            "type": "not_found_error",
            "message": "The object 'ID' named by 'path' was not found.",
        },
    }
    status, body, _ = answers["previous_response_id"]
    assert status == 400
    assert json.loads(body)["error"] == {
        "message": "The previous response 'ID' was not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    assert answers["file_id"][0] == 404
    assert json.loads(answers["file_id"][1])["error"]["param"] == "file_id"
    status, body, _ = answers["encrypted_content"]
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_encrypted_content")


def rows_of_the_page():
    """The rows of the page's table of refusals for ids, by code."""
    page = (Path(__file__).parents[4] / "docs" / "guides" / "embedding.md").read_text(encoding="utf-8")
    section = page.split("\n## Refusals for ids\n")[1].split("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in section.splitlines() if row.startswith("| ")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows if "---" not in row[0]]
    return {code: (int(status), param, text) for _, status, code, param, text in cells[1:]}


LONG = "resp_" + "A" * 57 + "tp7"
SHORT = sealed("resp_1", "nobody")
FILE = sealed("file-1", "alpha")
ENCRYPTED = {"input": [{"type": "reasoning", "encrypted_content": "gAAAAABo%stp0" % ("A" * 23)}]}
# Code, keys, and the id that is quoted; then path and body.
REFUSED = [
    (
        "previous_response_not_found",
        ["previous_response_id"],
        SHORT,
        "/v1/responses",
        json.dumps({"previous_response_id": SHORT}).replace("resp_", "r\\u0065sp_"),
    ),
    ("previous_response_not_found", ["previous_response_id"], "", "/v1/responses", {"previous_response_id": LONG}),
    ("invalid_encrypted_content", [], "", "/v1/responses", ENCRYPTED),
    ("not_found", ["path"], SHORT, "/v1/responses/" + SHORT.replace("resp", "r%65sp"), None),
    ("not_found", ["path"], "", "/v1/responses/resp_1%252F%22%0A", None),
    ("not_found", ["after"], SHORT, "/v1/files?after=" + SHORT, None),
    ("not_found", ["file_id"], NATIVE, "/v1/responses", {"input": [{"file_id": NATIVE}]}),
    (
        "conflicting_accounts",
        ["file_id", "container"],
        "",
        "/v1/responses",
        {"file_id": FILE, "container": sealed("cntr_1", "bravo")},
    ),
    ("unreadable_body", [], "", "/v1/responses", b'{"input":"\xff"}'),
    ("unreadable_body", [], "", "/v1/responses", b"{"),
    ("request_too_large", [], "", "/v1/responses", b"{" + b" " * 2000 + b"}"),
    ("too_many_bodies", [], "", "/v1/responses", b"{" + b" " * 800 + b"}"),
    ("unsupported_content_type", [], "", "/v1/responses", ("content-type", "text/plain")),
    ("unsupported_content_encoding", [], "", "/v1/responses", ("content-encoding", "gzip")),
]


@pytest.mark.smoke
def test_refusals_for_ids_are_those_of_the_page(sealing):
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    g = sealing("strict", max_body=1000, max_held_bodies=500, manager=manager)
    rows, seen = rows_of_the_page(), set()

    def check(code, keys, id, status, body, anthropic):
        seen.add(code)
        expected, param, message = rows[code]
        message = message.replace("*id*", f" '{id}'" if id else "")
        for name, key in zip(("key", "second key"), keys, strict=False):
            message = message.replace(f"*{name}*", key)
            param = key if param == name else param
        kind = "gateway_error" if expected == 503 else "invalid_request_error"
        error = {"message": message, "type": kind}
        error |= {"param": None if param == "null" else param, "code": code}
        if anthropic:
            kinds = {404: "not_found_error", 413: "request_too_large", 503: "api_error"}
            kind = kinds.get(expected, "invalid_request_error")
            error = {"type": kind, "message": message}
        assert (status, json.loads(body)["error"]) == (expected, error)

    for anthropic in (False, True):
        more = [ANTHROPIC] if anthropic else []
        for code, keys, id, path, body in REFUSED:
            if body is None:
                answer = g.send("GET", path, headers=more)
            elif isinstance(body, tuple):
                headers = [body] if body[0] == "content-type" else [JSON, body]
                answer = g.send("POST", path, body=b"{}", headers=[*headers, *more])
            else:
                body = body.encode() if isinstance(body, str) else body
                answer = posted(g, body, path=path, headers=more)
            check(code, keys, id, answer.status, answer.body, anthropic)
            assert (answer.value("retry-after") == "1") == (answer.status == 503)
            encoding = code == "unsupported_content_encoding"
            assert (answer.values("accept-encoding") == ["identity"]) == encoding
        lines = "".join(f"{name}: {value}\r\n" for name, value in more)
        with g.connect() as connection:
            request = f"GET /v1/responses HTTP/1.1\r\nhost: g\r\n{lines}{HANDSHAKE}\r\n"
            connection.sendall(request.encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        status, body = received.split(b" ")[1], received.split(b"\r\n\r\n", 1)[1]
        check("websocket_not_supported", [], "", int(status), body, anthropic)
    assert seen == set(rows) and len(rows) == 10
    assert not g.upstream.requests


@pytest.mark.smoke
def test_an_account_that_is_down(sealing):
    """No other account answers: it would send 404, or begin again with 200."""
    until = 2**31
    g = sealing(tokens=tokens(bravo={"state": "down", "until": until}))
    id = sealed(NATIVE, "bravo")
    for options in (
        {"method": "GET", "path": f"/v1/responses/{id}"},
        {"method": "POST", "body": json.dumps({"previous_response_id": id}).encode()},
        {"method": "POST", "body": json.dumps({"conversation": {"id": id}}).encode()},
    ):
        for more in ({}, {"consumer": "alice"}, {"cookie": forge("alpha")}):
            answer = g.send(headers=[JSON], **options, **more)
            assert answer.status == 503 and answer.cookie is None
            assert json.loads(answer.body)["error"]["code"] == "session_unavailable"
            assert int(answer.value("retry-after")) > 10000
            assert answer.decision["source"] == "id" and answer.decision["pin_state"] == "down"
    assert not g.upstream.requests
    # Requests without the id are still served.
    assert posted(g, {"input": "x"}).status == 200


def test_two_accounts(sealing):
    g = sealing()
    body = {"previous_response_id": sealed(NATIVE, "alpha"), "file_id": sealed(OTHER, "bravo")}
    answer = posted(g, body)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (400, "conflicting_accounts")
    assert "'previous_response_id'" in error["message"] and "'file_id'" in error["message"]
    assert not g.upstream.requests
    # Items of history from two accounts are no conflict.
    history = [
        {"type": "message", "id": sealed("msg_" + "a" * 48, account), "content": "x"} for account in ("alpha", "bravo")
    ]
    answer = posted(g, {"input": history})
    assert (answer.status, answer.account) == (200, "bravo")
    assert b"tp1" not in g.upstream.last().body
