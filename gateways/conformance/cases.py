"""The table of cases, cases.json: what is asked, and what a gateway must do, which model.py says.

cases.py            compares the file with what is made
cases.py --write    writes it
"""

import base64
import json
import pathlib
import sys

from model import (
    ACCOUNTS,
    FIXED,
    LATER,
    consumer_of,
    cookie,
    expected,
    marked,
    sealed,
    session_of,
    twin,
)

FILE = pathlib.Path(__file__).parent / "cases.json"

# The client's own that none of the tokens sends. (Which others are taken off differs: see the
# adapters.)
OFF = ["api-key", "openai-organization", "x-api-key", "x-goog-api-key"]


def token(name, header="authorization", prefix="Bearer ", off=OFF, **fields):
    headers = [
        {"name": header, "prefix": prefix, "env": f"SUITE_{name.upper()}"}
        if prefix
        else {"name": header, "env": f"SUITE_{name.upper()}"}
    ]
    return {"name": name, "headers": headers + [{"name": each, "remove": True} for each in off], **fields}


def tokens(**special):
    return [token(name, **special.get(name, {})) for name in ACCOUNTS]


BASE = {
    "placement_key": {"env": "SUITE_PLACEMENT"},
    "cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "SUITE_KEY_1"}}],
    "consumer": {"header": "x-consumer", "trusted": True},
    "session": [{"header": "x-session"}],
    "carrier_header": "x-affinity",
    # So that a fixed cookie is always good and never due, also over plain HTTP.
    "cookie": {"name": "pin", "secure": False, "max_age": 0, "max_life": 0},
    "cache_control": True,
    "cooldowns": [],
    "tokens": tokens(),
}
TWO_KEYS = [
    {"id": 2, "role": "sign", "key": {"env": "SUITE_KEY_2"}},
    {"id": 1, "role": "retire", "key": {"env": "SUITE_KEY_1"}},
]
CONFIGS = {
    "off": {},
    "open": {"sealed_ids": "open"},
    "seal": {"sealed_ids": "seal"},
    "strict": {"sealed_ids": "strict"},
    "alpha down": {"sealed_ids": "seal", "tokens": tokens(alpha={"state": "down"})},
    "alpha down until": {"sealed_ids": "seal", "tokens": tokens(alpha={"state": "down", "until": LATER})},
    "alpha draining": {"tokens": tokens(alpha={"state": "draining"})},
    "all draining": {"tokens": tokens(**{name: {"state": "draining"} for name in ACCOUNTS})},
    "all down": {
        "sealed_ids": "seal",
        "tokens": tokens(**{name: {"state": "down", "until": LATER} for name in ACCOUNTS}),
    },
    "only bravo takes newcomers": {"tokens": tokens(alpha={"weight": 0}, charlie={"weight": 0})},
    "fallback": {
        "policy_existing": "fallback_without_update",
        "policy_new": "fail_fast",
        "tokens": tokens(alpha={"state": "down"}),
    },
    "keyed cookies": {"keyed_cookies": True},
    "combined": {"combine_keys": True, "keyed_cookies": True},
    "bad keys": {"reject_bad_keys": True},
    "prompt cache": {"prompt_cache": True},
    "rotation": {"cookie_keys": TWO_KEYS, "sealed_ids": "seal"},
    "short life": {"cookie": {"name": "pin", "secure": False, "max_age": 0, "max_life": 86400}},
    "scope": {"scope": "openai", "cookie": {"secure": True, "max_life": 0}},
    "attributes": {
        "cookie": {
            "name": "pin",
            "secure": True,
            "http_only": False,
            "same_site": "none",
            "partitioned": True,
            "path": "/v1",
            "domain": "gateway.example",
            "max_age": 600,
            "max_life": 0,
        }
    },
    "session cookie": {"cookie": {"name": "pin", "secure": False, "same_site": "strict", "max_age": 0, "max_life": 0}},
    "success": {"success": [200, 404]},
    "owner": {"sealed_ids": "seal", "id_owner": "consumer"},
    "own id keys": {"sealed_ids": "seal", "id_keys": [{"id": 9, "role": "sign", "key": {"env": "SUITE_IDS"}}]},
    "plain seals": {"sealed_ids": "seal", "foreign_seals": "plain"},
    "no marks": {"sealed_ids": "seal", "encrypted_content": False},
    "own words": {
        "sealed_ids": "strict",
        "id_fields": [{"name": "thing", "kind": "id"}],
        "id_prefixes": ["thing_"],
        "id_collections": ["things"],
        "rules": [
            {"pattern": "things", "group": "stateful"},
            {"pattern": "embeddings", "group": "stateful", "ids": "none"},
        ],
    },
    "own rules": {"rules": [{"pattern": "things", "group": "stateful"}], "replace_rules": True},
    "small bodies": {"sealed_ids": "seal", "max_body": 64},
    "rendezvous": {"strategy": "rendezvous"},
    "higress": {"strategy": "higress_fnv1a_modulo"},
    "vacant": {"capacity": 8, "tokens": [token("alpha", slot=5), token("bravo", slot=0), token("charlie", slot=3)]},
    "one account": {"tokens": [token("alpha")]},
    # Of the provider that wants a key of another name, and an organisation for one of them.
    "keys": {
        "sealed_ids": "seal",
        "tokens": [
            token("alpha", "x-api-key", "", ["authorization"]),
            token("bravo", "x-api-key", "", ["authorization"]),
            {
                **token("charlie", "x-api-key", "", ["authorization"]),
                "headers": [
                    *token("charlie", "x-api-key", "", ["authorization"])["headers"],
                    {"name": "x-org", "value": "org-charlie"},
                ],
            },
        ],
    },
}
CONFIGS = {name: {**BASE, **fields} for name, fields in CONFIGS.items()}

JSON = ["Content-Type", "application/json"]
HEX = "0123456789abcdef" * 3
RESPONSE, OTHER, FILE_ID, CONVERSATION = f"resp_{HEX}", "resp_" + "5" * 48, "file-AbCdEf0123456789", f"conv_{HEX}"
BATCH, ANTHROPIC_FILE = "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d", "file_011CNha8iCJcU1wXNR6q4V8w"
CASES = []


def case(name, config="off", method="POST", target="/v1/responses", headers=(), body=None, answer=None, **more):
    """One case. `cookie=`, `consumer=`, `session=` and `carrier=` are short for headers."""
    headers = [*headers]
    for short, header in (("consumer", "X-Consumer"), ("session", "X-Session"), ("carrier", "X-Affinity")):
        if short in more:
            headers.append([header, more[short]])
    if "pin" in more:
        headers.append(["Cookie", f"pin={more['pin']}"])
    if body is None and method in ("POST", "PUT", "PATCH"):
        body = {"input": "Hello."}
    if isinstance(body, (dict, list)):
        body = json.dumps(body, separators=(",", ":"))
        headers += [] if any(each.lower() == "content-type" for each, _ in headers) else [JSON]
    answer = {"status": 200, "headers": [JSON], "body": {"object": "nothing"}, **(answer or {})}
    if isinstance(answer["body"], (dict, list)):
        answer["body"] = json.dumps(answer["body"])
    answer["headers"] = [*answer["headers"], ["X-Upstream", "said so"]]
    request = {"method": method, "target": target, "headers": headers, "body": body}
    CASES.append({"name": name, "config": config, "request": request, "answer": answer})


def cookies():
    case("a newcomer's creation gets a cookie")
    case("a newcomer's read gets one too", method="GET", target="/v1/responses/resp_1")
    case("a list gets one", method="GET", target="/v1/files")
    case("an API without state gets none", target="/v1/embeddings")
    case("an unknown path gets none", target="/v2/what/ever", body={"a": 1})
    case("an OPTIONS request gets none", method="OPTIONS")
    for account in ACCOUNTS:
        pin = cookie(account)
        for method, target in (
            ("POST", "/v1/responses"),
            ("GET", "/v1/responses/resp_1"),
            ("DELETE", "/v1/files/file-1"),
            ("POST", "/v1/threads/thread_1/messages"),
            ("HEAD", "/v1/files"),
            ("GET", "/openai/v1/batches?limit=2"),
        ):
            case(f"a cookie leads to {account}: {method} {target}", method=method, target=target, pin=pin)
        case(f"an API without state does not look at the cookie of {account}", target="/v1/embeddings", pin=pin)
    pin = cookie("bravo")
    damaged = {
        "cut off": pin[:-1],
        "empty": "",
        "with padding": pin + "=",
        "of other letters": pin[:-1] + "*",
        "of a newer version": "I" + pin[1:],
        "of an unknown kind": "F" + pin[1:],
        "with another pin": pin[:44] + ("A" if pin[44] != "A" else "B") + pin[45:],
        "of an unknown key": cookie("bravo", key_id=2),
        "of another scope": cookie("bravo", scope=b"else"),
        "of another name": cookie("bravo", name=b"nip"),
        "from the future": cookie("bravo", issued_at=LATER + 1000),
        "of a consumer": cookie("bravo", key=twin.consumer_key(b"somebody")),
    }
    for what, value in damaged.items():
        case(f"a cookie {what} is of no use", pin=value)
        case(f"a cookie {what} is taken off a read", method="GET", target="/v1/responses/resp_1", pin=value)
    case("a cookie that has lived long enough is of no use", "short life", pin=pin)
    case("a cookie of an account that is gone", pin=cookie("zulu"))
    case(
        "a read with a cookie of an account that is gone",
        method="GET",
        target="/v1/responses/resp_1",
        pin=cookie("zulu"),
    )
    fields = {
        "between others": f"a=1; pin={pin}; b=2",
        "first": f"pin={pin}; b=2",
        "last, without blanks": f"a=1;pin={pin}",
        "twice": f"pin={pin}; pin={pin}",
        "quoted": f'pin="{pin}"',
        "with odd neighbours": f'=pin=x; ;pin={pin};  x="a;b"; PIN=no',
    }
    for what, field in fields.items():
        case(f"a cookie that stands {what}", headers=[["Cookie", field], ["X-Other", "kept"]])
    case(
        "cookies in several lines", headers=[["Cookie", "a=1; pin=broken"], ["cookie", f"pin={pin}"], ["Cookie", "c=3"]]
    )
    case(
        "of two cookies the older counts",
        headers=[["Cookie", f"pin={cookie('alpha', issued_at=FIXED + 9)}; pin={pin}"]],
    )
    case(
        "of two cookies with one age the one that was refreshed later counts",
        headers=[["Cookie", f"pin={cookie('alpha')}; pin={cookie('charlie', refreshed_at=FIXED + 5)}"]],
    )
    case("the carrier header, empty, gets its answer in it", carrier="")
    case("the carrier header leads", carrier=pin)
    case("the carrier header counts before a cookie of the same age", carrier=pin, pin=cookie("alpha"))
    case("a carrier header that is broken gets another one", carrier="broken")
    case(
        "two carrier headers that differ are of no use", headers=[["X-Affinity", pin], ["X-Affinity", cookie("alpha")]]
    )
    case("copies of a carrier header are one", headers=[["X-Affinity", f"{pin}, {pin}"]])
    case("a retiring key's cookie is made again", "rotation", pin=pin)
    case(
        "a retiring key's cookie is made again at a read",
        "rotation",
        method="GET",
        target="/v1/responses/resp_1",
        pin=pin,
    )
    scoped = twin.default_name(b"openai")
    case(
        "a cookie for one scope",
        "scope",
        headers=[
            [
                "Cookie",
                f"{scoped.decode()}={cookie('charlie', name=scoped, scope=b'openai')}; __Host-tokenpin=other",
            ]
        ],
    )
    case("the default name", "scope")
    case("attributes of a cookie", "attributes")
    case("a session cookie", "session cookie")
    case("one account needs no cookie", "one account")
    case("places in the list are no slots", "vacant", pin=cookie("charlie"))


def answers():
    theirs = [
        ["Set-Cookie", "pin=theirs; Path=/"],
        ["set-cookie", "lang=en"],
        ["Set-Cookie", " pin =x"],
        ["X-Affinity", "theirs"],
    ]
    case("the account's own cookie of our name is taken off", answer={"headers": [JSON, *theirs]})
    case("also where no other is returned", pin=cookie("alpha"), answer={"headers": [JSON, *theirs]})
    for status in (201, 204, 206, 299, 302, 304, 400, 401, 403, 404, 409, 429, 500, 503):
        body = "" if status in (204, 304) else {"error": {"message": "no"}}
        case(f"a cookie is returned with success only: {status}", answer={"status": status, "body": body})
        case(f"what the account answers passes: {status}", pin=cookie("alpha"), answer={"status": status, "body": body})
    case("what success is can be said", "success", answer={"status": 404})


def keys():
    for account in ACCOUNTS:
        consumer, session = consumer_of(CONFIGS["off"], account), session_of(CONFIGS["off"], account)
        for target in ("/v1/responses", "/v1/files/file-1/content"):
            case(
                f"a consumer of {account}: {target}",
                method="GET" if "content" in target else "POST",
                target=target,
                consumer=consumer,
            )
        case(f"a session of {account}", session=session)
        case(f"a consumer of {account} counts before a session", consumer=consumer, session="session-0")
        case(f"a consumer of {account} counts before an anonymous cookie", consumer=consumer, pin=cookie("bravo"))
        case(
            f"a consumer of {account} in a prompt cache",
            "prompt cache",
            target="/v1/chat/completions",
            consumer=consumer,
        )
        case(f"a consumer of {account} gets a cookie", "keyed cookies", consumer=consumer)
        case(f"consumer and session of {account} together", "combined", consumer=consumer, session=session)
        case(
            f"by rendezvous, consumer of {account}", "rendezvous", consumer=consumer_of(CONFIGS["rendezvous"], account)
        )
        case(f"as Higress does, consumer of {account}", "higress", consumer=consumer_of(CONFIGS["higress"], account))
    case("copies of a key are one", headers=[["X-Consumer", "bob, bob"], ["x-consumer", "bob"], ["X-Consumer", ""]])
    case("a key with a comma", headers=[["X-Consumer", "bob,eve"]])
    case("keys that differ are no key", headers=[["X-Consumer", "bob"], ["X-Consumer", "eve"]], session="session-3")
    case("a key that is too long is no key", consumer="x" * 4097, session="session-3")
    case("a key that is just not too long", consumer="x" * 4096)
    for name, more in {
        "that differ": {"headers": [["X-Session", "a"], ["X-Session", "b"]]},
        "that are too long": {"consumer": "x" * 4097},
    }.items():
        case(f"keys {name} are refused", "bad keys", **more)
        case(
            f"keys {name} are refused as Anthropic's clients expect",
            "bad keys",
            **{**more, "headers": [*more.get("headers", []), ["Anthropic-Version", "2023-06-01"]]},
        )
    bound = cookie("alpha", key=twin.consumer_key(b"bob"))
    case("a consumer's cookie leads", "keyed cookies", consumer="bob", pin=bound)
    case("a consumer's cookie leads also where none is written", consumer="bob", pin=bound)
    case("another consumer cannot use it", "keyed cookies", consumer="eve", pin=bound)
    case("a prompt cache follows a cookie", "prompt cache", target="/v1/messages", pin=cookie("charlie"))
    case("a prompt cache gets no cookie", "prompt cache", target="/v1/chat/completions")


def states():
    pin = cookie("alpha")
    for config in ("alpha down", "alpha down until"):
        case(f"{config}: a read waits for it", config, method="GET", target=f"/v1/responses/{RESPONSE}", pin=pin)
        case(
            f"{config}: the same as Anthropic's clients expect it",
            config,
            method="GET",
            target="/v1/files",
            headers=[["Anthropic-Version", "2023-06-01"]],
            pin=pin,
        )
        case(f"{config}: a creation moves the session", config, pin=pin)
        case(f"{config}: newcomers go elsewhere", config)
        case(f"{config}: its consumer goes elsewhere", config, consumer=consumer_of(CONFIGS["off"], "alpha"))
        case(f"{config}: what is in it waits", config, method="GET", target=f"/v1/responses/{sealed(RESPONSE)}")
        case(
            f"{config}: what follows on it waits",
            config,
            body={"previous_response_id": sealed(RESPONSE)},
            pin=cookie("bravo"),
        )
    case("a draining account keeps its sessions", "alpha draining", pin=pin)
    case("a draining account gets no newcomers", "alpha draining")
    case("where all drain, all serve", "all draining")
    case("where all are down, none serves", "all down")
    case("where all are down, none serves an API without state", "all down", target="/v1/embeddings")
    case(
        "where all are down, as Anthropic's clients expect it",
        "all down",
        headers=[["Anthropic-Version", "2023-06-01"]],
    )
    case("weight 0 is for no newcomers", "only bravo takes newcomers")
    case("weight 0 keeps its sessions", "only bravo takes newcomers", pin=pin)
    case("a read may be sent elsewhere", "fallback", method="GET", target="/v1/responses/resp_1", pin=pin)
    case("a creation may be refused", "fallback", pin=pin)


def credentials():
    own = [
        ["Authorization", "Bearer mine"],
        ["X-Api-Key", "mine"],
        ["api-key", "mine"],
        ["x-goog-api-key", "mine"],
        ["OpenAI-Organization", "org-mine"],
        ["X-Org", "org-mine"],
        ["X-Other", "kept"],
    ]
    for account in ACCOUNTS:
        without_org = [pair for pair in own if pair[0] != "X-Org"]
        case(f"the client's own credentials do not reach {account}", headers=without_org, pin=cookie(account))
        case(
            f"another kind of key for {account}",
            "keys",
            headers=[pair for pair in own if pair[0] in ("Authorization", "X-Api-Key", "X-Org", "X-Other")],
            pin=cookie(account),
        )
    case(
        "credentials that a client sends twice",
        headers=[["Authorization", "Bearer a"], ["authorization", "Bearer b"]],
        pin=cookie("alpha"),
    )
    case(
        "a credential that a client names in its session",
        session="Bearer sk-alpha",
        headers=[["Authorization", "Bearer sk-bravo"]],
    )


def response_of(id=RESPONSE, **fields):
    message = {
        "id": "msg_" + "7" * 40,
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": f"It is {id}."}],
    }
    return {"id": id, "object": "response", "previous_response_id": None, "output": [message], **fields}


def stream_of(id=RESPONSE):
    begun = {"type": "response.created", "response": response_of(id)}
    delta = {"type": "response.output_text.delta", "item_id": "msg_" + "7" * 40, "delta": "resp_"}
    events = [begun, delta, delta, {"type": "response.completed", "response": response_of(id)}]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return {"headers": [["content-type", "text/event-stream; charset=utf-8"]], "body": text + ": the end\n\n"}


def openai_ids():
    for mode in ("open", "seal", "strict"):
        for account in ACCOUNTS:
            known, pin = sealed(RESPONSE, account), cookie(account)
            case(f"{mode}: a response that {account} makes", mode, pin=pin, answer={"body": response_of()})
            case(
                f"{mode}: a response that {account} streams",
                mode,
                pin=pin,
                body={"input": "x", "stream": True},
                answer=stream_of(),
            )
            case(
                f"{mode}: a follow-up of {account}'s",
                mode,
                body={"previous_response_id": known},
                answer={"body": response_of(OTHER, previous_response_id=RESPONSE)},
            )
            case(
                f"{mode}: a path of {account}'s",
                mode,
                method="GET",
                target=f"/v1/responses/{known}/input_items?limit=3",
                answer={"body": {"data": [{"id": RESPONSE}]}},
            )
        alpha = sealed(RESPONSE)
        case(f"{mode}: an id goes before a cookie", mode, body={"previous_response_id": alpha}, pin=cookie("bravo"))
        case(
            f"{mode}: an id goes before a consumer",
            mode,
            body={"previous_response_id": alpha},
            consumer=consumer_of(CONFIGS["off"], "charlie"),
        )
        case(
            f"{mode}: a plain id follows the cookie",
            mode,
            body={"previous_response_id": RESPONSE},
            pin=cookie("charlie"),
        )
        case(
            f"{mode}: what is sent plain comes back plain",
            mode,
            body={"previous_response_id": OTHER},
            pin=cookie("charlie"),
            answer={"body": response_of(previous_response_id=OTHER)},
        )
        case(
            f"{mode}: of two ids each comes back as it was sent",
            mode,
            body={"previous_response_id": alpha, "conversation": CONVERSATION},
            answer={"body": response_of(OTHER, previous_response_id=RESPONSE, conversation={"id": CONVERSATION})},
        )
        case(
            f"{mode}: a plain id in a path",
            mode,
            method="GET",
            target=f"/v1/responses/{RESPONSE}",
            pin=cookie("charlie"),
        )
        case(
            f"{mode}: a plain id in a path, as Anthropic's clients expect it",
            mode,
            method="GET",
            target=f"/v1/files/{ANTHROPIC_FILE}",
            headers=[["Anthropic-Version", "2023-06-01"]],
            pin=cookie("charlie"),
        )
        case(
            f"{mode}: ids of two accounts",
            mode,
            body={"previous_response_id": alpha, "conversation": sealed(CONVERSATION, "bravo")},
        )
        case(
            f"{mode}: an id of an account that is gone",
            mode,
            method="GET",
            target=f"/v1/responses/{sealed(RESPONSE, 'zulu')}",
        )
        case(
            f"{mode}: a follow-up of an account that is gone",
            mode,
            body={"previous_response_id": sealed(RESPONSE, "zulu")},
        )
        broken = alpha[:20] + ("A" if alpha[20] != "A" else "B") + alpha[21:]
        for what, text in {
            "broken": broken,
            "of an unknown key": sealed(RESPONSE, key="SUITE_KEY_2", key_id=2),
        }.items():
            case(
                f"{mode}: a seal that is {what}",
                mode,
                method="GET",
                target=f"/v1/responses/{text}",
                pin=cookie("charlie"),
            )
            case(
                f"{mode}: a follow-up with a seal that is {what}",
                mode,
                body={"previous_response_id": text},
                pin=cookie("charlie"),
            )
        case(
            f"{mode}: a conversation that is an object",
            mode,
            body={"conversation": {"id": sealed(CONVERSATION, "bravo")}, "input": "x"},
        )
        content = {
            "role": "user",
            "content": [
                {"type": "input_file", "file_id": sealed(FILE_ID, "charlie")},
                {"type": "input_text", "text": alpha},
            ],
        }
        case(
            f"{mode}: a file in the input; what a text holds is no id",
            mode,
            body={"input": [content]},
            answer={"body": response_of()},
        )
        case(
            f"{mode}: an id in a query",
            mode,
            method="GET",
            target=f"/v1/files?after={sealed(FILE_ID, 'bravo')}&limit=2",
            answer={
                "body": {
                    "data": [{"id": FILE_ID, "object": "file"}],
                    "first_id": FILE_ID,
                    "last_id": FILE_ID,
                    "has_more": False,
                }
            },
        )
        case(
            f"{mode}: a body that is written at length",
            mode,
            headers=[JSON, ["Content-Digest", "sha-256=:x:"], ["Digest", "x"]],
            body='{ "input" : "x\\u00e9\\"y",\n\t"previous_response_id" :\r\n "'
            + alpha
            + '" , "n": [1e3, -0.5, null, true] }',
            answer={"body": '{ "id" :\n  "' + RESPONSE + '" }'},
        )
        case(
            f"{mode}: a body that is no JSON",
            mode,
            headers=[JSON],
            body='{"previous_response_id": "' + RESPONSE + '"',
            pin=cookie("alpha"),
        )
        case(f"{mode}: a body without a type", mode, body='{"previous_response_id":"' + alpha + '"}')
        case(
            f"{mode}: an empty body", mode, headers=[["Content-Type", "application/json"]], body="", pin=cookie("alpha")
        )
        case(
            f"{mode}: a body of another type",
            mode,
            headers=[["Content-Type", "text/plain"]],
            body=f"previous_response_id={alpha}",
            pin=cookie("alpha"),
        )
        case(
            f"{mode}: an upload",
            mode,
            target="/v1/files",
            headers=[["Content-Type", "multipart/form-data; boundary=x"]],
            body='--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--x--\r\n',
            pin=cookie("alpha"),
            answer={"body": {"id": FILE_ID, "object": "file"}},
        )
        case(
            f"{mode}: a compressed body",
            mode,
            headers=[JSON, ["Content-Encoding", "gzip"]],
            body="\x1f\x8b not really",
            pin=cookie("alpha"),
        )
        case(
            f"{mode}: a body that a second field calls compressed",
            mode,
            headers=[JSON, ["Content-Encoding", "identity"], ["Content-Encoding", "gzip"]],
            body="\x1f\x8b not really",
            pin=cookie("alpha"),
        )
        case(
            f"{mode}: a body that is not encoded, and says so",
            mode,
            headers=[JSON, ["Content-Encoding", "Identity"]],
            body={"previous_response_id": alpha},
        )
        for what, fields in {
            "twice": ["identity, identity"],
            "in two fields": ["identity", "IDENTITY"],
            "in a list of nothing": [","],
        }.items():
            case(
                f"{mode}: a body that is not encoded, and says so {what}",
                mode,
                headers=[JSON, *(["Content-Encoding", field] for field in fields)],
                body={"previous_response_id": alpha},
            )
        case(
            f"{mode}: a compressed body behind an empty element",
            mode,
            headers=[JSON, ["Content-Encoding", ", gzip"]],
            body="\x1f\x8b not really",
            pin=cookie("alpha"),
        )
        case(
            f"{mode}: a compressed body, as Anthropic's clients expect it",
            mode,
            target="/v1/messages/batches",
            headers=[JSON, ["Content-Encoding", "gzip"], ["Anthropic-Version", "2023-06-01"]],
            body="\x1f\x8b",
            pin=cookie("alpha"),
        )
        case(
            f"{mode}: a WebSocket",
            mode,
            method="GET",
            headers=[
                ["Connection", "Upgrade"],
                ["Upgrade", "websocket"],
                ["Sec-WebSocket-Version", "13"],
                ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
            ],
        ) if mode != "open" else None
        case(
            f"{mode}: a chat completion follows the file in it",
            mode,
            target="/v1/chat/completions",
            body={
                "messages": [
                    {"role": "user", "content": [{"type": "file", "file": {"file_id": sealed(FILE_ID, "bravo")}}]}
                ]
            },
        )
        case(
            f"{mode}: a model's list is no state",
            mode,
            method="GET",
            target="/v1/models",
            answer={"body": {"data": [{"id": "resp_1"}]}},
        )
        for what, answer in {
            "compressed": {"headers": [JSON, ["Content-Encoding", "gzip"]], "body": "\x1f\x8b \xff\x00"},
            "that a second field calls compressed": {
                "headers": [JSON, ["Content-Encoding", "identity"], ["Content-Encoding", "gzip"]],
                "body": response_of(),
            },
            "that says twice that it is not encoded": {
                "headers": [JSON, ["Content-Encoding", "identity, identity"]],
                "body": response_of(),
            },
            "with an encoding of nothing": {"headers": [JSON, ["Content-Encoding", ","]], "body": response_of()},
            "of another type": {"headers": [["Content-Type", "text/plain"]], "body": RESPONSE},
            "of no type": {"headers": [], "body": response_of()},
            "partial": {"status": 206, "body": response_of()},
            "with a strong tag": {
                "headers": [JSON, ["ETag", '"x"'], ["Accept-Ranges", "bytes"], ["Digest", "x"], ["Content-MD5", "x"]],
                "body": response_of(),
            },
            "with a weak tag": {"headers": [JSON, ["ETag", 'W/"x"']], "body": response_of()},
            "with a location": {
                "status": 201,
                "headers": [
                    JSON,
                    ["Location", f"/v1/responses/{RESPONSE}"],
                    ["Operation-Location", f"https://provider.example/v1/batches/{RESPONSE}?a=b"],
                ],
                "body": {},
            },
            "with another's address": {
                "status": 201,
                "headers": [JSON, ["Content-Location", f"https://files.example/v1/files/{FILE_ID}?signature=x"]],
                "body": {},
            },
            "with its own address": {
                "status": 201,
                "headers": [JSON, ["Location", "http://{provider}/v1/responses/" + RESPONSE]],
                "body": {},
            },
            "that is an error": {
                "status": 404,
                "body": {"error": {"message": f"No such object: {OTHER}", "code": None}, "id": OTHER},
            },
            "without a body": {"status": 204, "headers": [["Content-Location", f"/v1/files/{FILE_ID}"]], "body": ""},
            "that is no JSON": {"body": '{"id": "' + RESPONSE + '", '},
            "of two documents": {"body": json.dumps({"id": RESPONSE}) + "\n" + json.dumps({"id": OTHER})},
            "in UTF-8": {
                "body": json.dumps(response_of(note="\u00e4\U0001f600"), ensure_ascii=False).encode().decode("latin-1")
            },
        }.items():
            case(
                f"{mode}: an answer {what}",
                mode,
                method="GET",
                target=f"/v1/responses/{sealed(RESPONSE, 'bravo')}",
                answer=answer,
            )
        case(
            f"{mode}: a HEAD request",
            mode,
            method="HEAD",
            target=f"/v1/responses/{alpha}",
            answer={"headers": [JSON, ["ETag", '"x"']], "body": response_of()},
        )
        case(
            f"{mode}: a file's content is the client's",
            mode,
            method="GET",
            target=f"/v1/files/{sealed(FILE_ID, 'bravo')}/content",
            answer={"headers": [JSON, ["ETag", '"x"']], "body": response_of()},
        )
        thought = marked("gAAAAA" + base64.urlsafe_b64encode(b"a thought" * 9).decode(), "charlie")
        case(
            f"{mode}: encrypted content leads",
            mode,
            body={"input": [{"type": "reasoning", "encrypted_content": thought}], "store": False},
            answer={
                "body": response_of(
                    output=[{"id": "rs_" + "1" * 40, "type": "reasoning", "encrypted_content": thought[:-26]}]
                )
            },
        )
        case(
            f"{mode}: encrypted content that was changed",
            mode,
            body={"input": [{"type": "reasoning", "encrypted_content": "x" + thought[1:]}]},
            pin=cookie("alpha"),
        )
        case(
            f"{mode}: the same, as Anthropic's clients expect it",
            mode,
            headers=[["Anthropic-Version", "2023-06-01"]],
            body={"input": [{"type": "reasoning", "encrypted_content": "x" + thought[1:]}]},
            pin=cookie("alpha"),
        )
    case(
        "off: a body that names something reads",
        body={"previous_response_id": RESPONSE},
        pin=cookie("bravo"),
        answer={"body": response_of()},
    )
    case("off: it waits for its account", "fallback", body={"previous_response_id": RESPONSE}, pin=cookie("bravo"))
    case("off: a sealed id is not known", body={"previous_response_id": sealed(RESPONSE)}, pin=cookie("bravo"))


def anthropic_ids():
    version = [["Anthropic-Version", "2023-06-01"]]
    batch = {"id": BATCH, "type": "message_batch", "processing_status": "in_progress", "results_url": None}
    for account in ACCOUNTS:
        case(
            f"a batch that {account} makes",
            "keys",
            target="/v1/messages/batches",
            headers=version,
            body={"requests": []},
            pin=cookie(account),
            answer={"body": batch},
        )
        case(
            f"a batch of {account}'s",
            "keys",
            method="GET",
            target=f"/v1/messages/batches/{sealed(BATCH, account)}",
            headers=version,
            answer={"body": batch},
        )
        case(
            f"results of {account}'s are the client's",
            "keys",
            method="GET",
            target=f"/v1/messages/batches/{sealed(BATCH, account)}/results",
            headers=version,
            answer={"headers": [["Content-Type", "application/x-jsonl"]], "body": json.dumps({"custom_id": BATCH})},
        )
        source = {"type": "document", "source": {"type": "file", "file_id": sealed(ANTHROPIC_FILE, account)}}
        case(
            f"a message with a file of {account}'s",
            "keys",
            target="/v1/messages",
            headers=version,
            body={"messages": [{"role": "user", "content": [source]}]},
            answer={
                "body": {
                    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
                    "type": "message",
                    "container": {"id": "container_011CPR5CNjB747bTd36fQLFk"},
                }
            },
        )
    two = [
        {"type": "document", "source": {"type": "file", "file_id": sealed(ANTHROPIC_FILE, account)}}
        for account in ("alpha", "bravo")
    ]
    case(
        "files of two accounts in a message",
        "keys",
        target="/v1/messages",
        headers=version,
        body={"messages": [{"role": "user", "content": two}]},
    )
    case(
        "an unknown batch",
        "keys",
        method="GET",
        target=f"/v1/messages/batches/{sealed(BATCH, 'zulu')}",
        headers=version,
    )


def settings():
    case("an id under its separate key", "own id keys", pin=cookie("alpha"), answer={"body": response_of()})
    case(
        "an id under its separate key leads",
        "own id keys",
        method="GET",
        target=f"/v1/responses/{sealed(RESPONSE, 'bravo', 'SUITE_IDS', 9)}",
    )
    case(
        "an id of the cookie's key is no longer good",
        "own id keys",
        method="GET",
        target=f"/v1/responses/{sealed(RESPONSE, 'bravo')}",
    )
    case(
        "an id of a retiring key is good", "rotation", method="GET", target=f"/v1/responses/{sealed(RESPONSE, 'bravo')}"
    )
    case("a new id is of the signing key", "rotation", pin=cookie("alpha", key_id=2), answer={"body": response_of()})
    owned = sealed(RESPONSE, "bravo", owner=b"bob")
    case("an id leads its owner", "owner", method="GET", target=f"/v1/responses/{owned}", consumer="bob")
    case("an id leads no other consumer", "owner", method="GET", target=f"/v1/responses/{owned}", consumer="eve")
    case("an id leads no client without a name", "owner", method="GET", target=f"/v1/responses/{owned}")
    case("an id is its owner's", "owner", consumer="bob", answer={"body": response_of()})
    foreign = sealed(RESPONSE, "bravo", "SUITE_KEY_2", 2)
    case(
        "a foreign seal may be plain",
        "plain seals",
        method="GET",
        target=f"/v1/responses/{foreign}",
        pin=cookie("charlie"),
    )
    case(
        "encrypted content may be left alone",
        "no marks",
        pin=cookie("alpha"),
        answer={"body": response_of(output=[{"type": "reasoning", "encrypted_content": "gAAAAABo"}])},
    )
    for account in ACCOUNTS:
        case(
            f"a collection that is configured: {account}",
            "own words",
            method="GET",
            target=f"/v1/things/{sealed('thing_0123456789ab', account)}",
            answer={"body": {"thing": "thing_0123456789ab", "other": "thing_0123456789ab"}},
        )
        case(
            f"a key that is configured: {account}",
            "own words",
            target="/v1/things",
            body={"thing": sealed("thing_0123456789ab", account), "other": "thing_0123456789ab"},
        )
    case("a path that a rule makes stateful", "own words", target="/v1/embeddings", body={"input": "x"})
    case("rules instead of the table", "own rules", target="/v1/responses")
    case("rules instead of the table: what they name", "own rules", target="/v1/things")
    for size in (63, 64, 65, 7000):
        body = '{"input":"' + "x" * (size - 12) + '"}'
        case(f"at most 64 bytes are held: {size}", "small bodies", headers=[JSON], body=body, pin=cookie("alpha"))
        case(
            f"at most 64 bytes are held, as Anthropic's clients expect it: {size}",
            "small bodies",
            target="/v1/messages/batches",
            headers=[JSON, ["Anthropic-Version", "2023-06-01"]],
            body=body,
            pin=cookie("alpha"),
        )
    case("other bodies are as long as they like", "small bodies", target="/v1/embeddings", body={"input": "x" * 500})


def made():
    CASES.clear()
    for group in (cookies, answers, keys, states, credentials, openai_ids, anthropic_ids, settings):
        group()
    names = [each["name"] for each in CASES]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    for each in CASES:
        each["expect"] = expected(CONFIGS[each["config"]], each["request"], each["answer"])
    lines = ",\n".join(json.dumps(each) for each in CASES)
    configs = ",\n".join(f"{json.dumps(name)}: {json.dumps(fields)}" for name, fields in CONFIGS.items())
    return f'{{"configs": {{\n{configs}\n}},\n"cases": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    text = made()
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        sys.exit("cases.json is stale: cases.py --write")
    print(f"{len(CASES)} cases, {len(CONFIGS)} configurations, {len(text)} bytes")
