"""The answer that a gateway must give to one request, from docs/ and with the second implementation
in tests/twin: an oracle that shares no line with the gateways.

A case is {config, request, answer}: a configuration in the words of config.schema.json, a request
{method, target, headers, body}, and what the account answers, {status, headers, body}. `expected`
gives what may happen, by the account that serves: any account may serve a newcomer. Under "" is
what the gateway answers itself.
"""

import copy
import json
import pathlib
import re
import sys

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests" / "twin"))

import bodies_twin as bodies  # noqa: E402
import tokenpin_twin as twin  # noqa: E402

ACCOUNTS = ("alpha", "bravo", "charlie")
# The keys of the vectors, by the environment variables that hold them.
KEYS = {
    "SUITE_PLACEMENT": bytes(range(16)),
    "SUITE_KEY_1": b"\x01" * 16,
    "SUITE_KEY_2": b"\x02" * 16,
    "SUITE_IDS": b"\x03" * 16,
}
SECRETS = {f"SUITE_{name.upper()}": f"sk-{name}" for name in (*ACCOUNTS, "delta")}
ENVIRONMENT = {**{name: key.hex() for name, key in KEYS.items()}, **SECRETS}

# When cookies of the cases were issued, and what the model takes for the time: what is due or over
# by then stays so. In 2096 a state ends, and its refusal tells what is left.
FIXED, NOW, LATER = 1_700_000_000, 1_795_000_000, 4_000_000_000
DRAWS = 60  # of ids for a newcomer, so that each account that may serve does

NAMES = {
    "strategy": ["jump", "rendezvous", "higress_fnv1a_modulo"],
    "policy": ["fail_fast", "fallback_and_update", "fallback_without_update"],
    "state": ["up", "draining", "down"],
    "group": ["stateless", "stateful", "prompt_cache"],
    "role": ["sign", "accept", "retire"],
    "mode": bodies.MODES,
    "ids": bodies.IDS,
    "kind": ["anonymous", "consumer", "session", "combined"],
    "same_site": {"lax": b"Lax", "strict": b"Strict", "none": b"None"},
}


def key_of(secret):
    return KEYS[secret["env"]]


def ring_of(keys):
    return [twin.RingKey(key["id"], key_of(key["key"]), NAMES["role"].index(key["role"])) for key in keys]


def config_of(fields):
    """A configuration for the second implementation."""
    slots = [twin.Slot() for _ in range(fields.get("capacity", len(fields["tokens"])))]
    for place, token in enumerate(fields["tokens"]):
        state = NAMES["state"].index(token.get("state", "up"))
        slots[token.get("slot", place)] = twin.Slot(
            token["name"].encode(), token.get("weight", 65536), state, token.get("until", 0)
        )
    config = twin.Config(slots, key_of(fields["placement_key"]), ring_of(fields["cookie_keys"]))
    cookie = fields.get("cookie", {})
    config.scope = fields.get("scope", "").encode()
    config.cookie_name = cookie["name"].encode() if cookie.get("name") else None
    config.strategy = NAMES["strategy"].index(fields.get("strategy", "jump"))
    config.policy_existing = NAMES["policy"].index(fields.get("policy_existing", "fail_fast"))
    config.policy_new = NAMES["policy"].index(fields.get("policy_new", "fallback_and_update"))
    for name in ("combine_keys", "reject_bad_keys", "keyed_cookies", "mint_single", "replace_rules", "prompt_cache"):
        setattr(config, name, fields.get(name, False))
    for name in ("skew", "max_life", "max_idle"):
        setattr(config, name, cookie.get(name, getattr(config, name)))
    max_age = cookie.get("max_age", "auto")
    config.max_age = None if max_age == "auto" else max_age
    config.success = tuple(fields.get("success", (200, 299)))
    config.attributes = twin.Attributes(
        path=cookie.get("path", "/").encode(),
        domain=cookie.get("domain", "").encode(),
        secure=cookie.get("secure", True),
        http_only=cookie.get("http_only", True),
        same_site=NAMES["same_site"][cookie.get("same_site", "lax")],
        partitioned=cookie.get("partitioned", False),
    )
    for rule in fields.get("rules", []):
        group = NAMES["group"].index(rule["group"])
        ids = NAMES["ids"].index(rule.get("ids", "both" if rule["group"] == "stateful" else "none"))
        config.rules.append((rule["pattern"].encode(), group, ids))
    config.id_mode = NAMES["mode"].index(fields.get("sealed_ids", "off"))
    config.own_id_keys = ring_of(fields.get("id_keys", []))
    config.id_owner = {"none": 0, "consumer": 1}[fields.get("id_owner", "none")]
    config.foreign_seals = ["auto", "refuse", "plain"].index(fields.get("foreign_seals", "auto"))
    config.encrypted_content = fields.get("encrypted_content", True)
    config.id_fields = [(field["name"].encode(), field["kind"]) for field in fields.get("id_fields", [])]
    config.id_prefixes = [prefix.encode() for prefix in fields.get("id_prefixes", [])]
    config.id_collections = [word.encode() for word in fields.get("id_collections", [])]
    return config


# ---- Headers


def values(headers, name):
    return [value.encode("latin-1") for each, value in headers if each.lower() == name]


def the_one(several):
    different = {value for value in several if value}
    return different.pop() if len(different) == 1 else None if different else b""


def unjoined(value):
    one = the_one([part.strip(b" \t") for part in value.split(b",")])
    return value if one is None else one


def content_of(headers):
    kind = re.split(b"[;,]", (values(headers, "content-type") or [b""])[0])[0].strip().lower().decode()
    if kind in ("", "application/json") or kind.endswith("+json"):
        return "json"
    return {"text/event-stream": "events"}.get(kind, "multipart" if kind.startswith("multipart/") else "other")


def is_encoded(headers):
    codings = b",".join(values(headers, "content-encoding")).split(b",")
    return any(coding.strip().lower() not in (b"", b"identity") for coding in codings)


def has_token(headers, name, token):
    return any(part.strip().lower() == token for value in values(headers, name) for part in value.split(b","))


DIGESTS = ("content-md5", "digest", "content-digest", "repr-digest")
UPLOADS = ("files", "uploads", "skills", "videos", "images", "audio")
LOCATIONS = ("location", "content-location", "operation-location")


# ---- The gateway's own answers: docs/guides/embedding.md

TEXTS = {
    "no_account_available": "No account is available.",
    "bad_affinity_key": "The session's key cannot be used.",
    "session_unavailable": "The session's account is unavailable.",
    "previous_response_not_found": "The previous response{quoted} was not found.",
    "invalid_encrypted_content": "The encrypted content could not be verified.",
    "not_found": "The object{quoted} named by '{0}' was not found.",
    "conflicting_accounts": "The objects named by '{0}' and '{1}' cannot be used together: they were created apart.",
    "unreadable_body": "The request's body cannot be read.",
    "request_too_large": "The request's body is too large.",
    "unsupported_content_type": "The request's body has to be JSON.",
    "unsupported_content_encoding": "The request's body must not be encoded.",
    "websocket_not_supported": "This is not served over a WebSocket.",
}


def refused(request, status, code, keys=(), headers=None, quoted=b""):
    quoted = f" '{quoted.decode()}'" if quoted else ""
    message = TEXTS[code].format(*keys, quoted=quoted)
    if values(request["headers"], "anthropic-version"):
        kind = {404: "not_found_error", 413: "request_too_large"}.get(
            status, "invalid_request_error" if status < 500 else "api_error"
        )
        body = {"type": "error", "error": {"type": kind, "message": message}}
    else:
        param = {"previous_response_not_found": 0, "not_found": 0, "conflicting_accounts": 1}.get(code)
        kind = "invalid_request_error" if status < 500 else "gateway_error"
        body = {
            "error": {"message": message, "type": kind, "param": None if param is None else keys[param], "code": code}
        }
    answer = {"content-type": ["application/json"], **{name: [value] for name, value in (headers or {}).items()}}
    answer.setdefault("retry-after", [])
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return {
        "": {"status": status, "headers": answer, "body": "" if request["method"] == "HEAD" else text, "cookie": None}
    }


def key_name(config, number):
    names = {known: name for name, (known, _) in bodies.KEYS.items()}
    names.update({len(bodies.KEYS) + place: name for place, (name, _) in enumerate(config.id_fields)})
    return names[number].decode()


class Ids(bodies.Request):
    """Those of a request, and how the client wrote them."""

    def __init__(self, *given):
        super().__init__(*given)
        self.forms = {}  # native -> the texts

    def take(self, key, text):
        native, named = super().take(key, text)
        if native is not None or named:
            self.forms.setdefault(native or text, set()).add(text)
        return native, named

    def comes_back_sealed(self, native):
        """Echo: what the client sent comes back as it was sent."""
        sent = self.forms.get(native, {None})
        return native not in sent if self.sealed else sent not in ({None}, {native})

    def as_sent(self, text, pin):
        """Also by the key that had sealed it, regardless of the account it had then."""
        ring, scope, owner = self.rules.place
        for native, sent in self.forms.items():
            for form in sent - {native}:
                [key] = [key for key in ring if twin.open_id([key], scope, owner, form)[0] == "sealed"]
                again = twin.seal_id([twin.RingKey(key.key_id, key.secret, twin.SIGN)], scope, owner, native, pin)
                text = text.replace(twin.seal_id(ring, scope, owner, native, pin), again)
        return text


class Unclear(Exception):
    """One id in several forms: which of them comes back depends on more than this model knows."""


# ---- One request


def expected(fields, request, answer):
    config = config_of(fields)
    headers, target = request["headers"], request["target"].encode("latin-1")
    body = None if request["body"] is None else request["body"].encode("latin-1")
    handshake = (
        request["method"] == "GET"
        and has_token(headers, "connection", b"upgrade")
        and has_token(headers, "upgrade", b"websocket")
    )
    asked = twin.Request(NOW, b"")
    asked.method, asked.target = (b"CONNECT" if handshake else request["method"].encode()), target
    asked.trusted = True
    asked.consumer_values = [unjoined(value) for value in values(headers, "x-consumer")]
    asked.session_values = [unjoined(value) for value in values(headers, "x-session")]
    asked.cookies = values(headers, "cookie")
    carried = values(headers, "x-affinity")
    asked.carrier = bool(carried)
    asked.carrier_value = the_one([unjoined(value) for value in carried]) or b""

    path = target.partition(b"?")[0].decode("latin-1")
    _, _, api = twin.classify(config.table, config.prompt_cache, asked.method, target)
    api, mode = NAMES["ids"][api], NAMES["mode"][config.id_mode]
    has_state, came = api in ("both", "items"), body
    ids = None
    if api != "none":
        if (
            handshake
            and mode != "off"
            and has_state
            and (mode != "open" or fields.get("refuse_upgrades"))
            and "realtime" not in path.split("/")
        ):
            return refused(request, 426, "websocket_not_supported", headers={"upgrade": "HTTP/1.1"})
        reads = body is not None and content_of(headers) == "json" and not is_encoded(headers)
        if reads and mode != "off" and len(body) > fields.get("max_body", 1 << 26):
            return refused(request, 413, "request_too_large")
        reads = reads and len(body) <= fields.get("max_body", 1 << 26)
        # An empty body holds nothing, regardless of its type.
        if body and not reads and mode in ("seal", "strict"):
            if content_of(headers) == "json":
                return refused(request, 415, "unsupported_content_encoding", headers={"accept-encoding": "identity"})
            if mode == "strict" and not (
                content_of(headers) == "multipart" and any(word in UPLOADS for word in path.split("/"))
            ):
                return refused(request, 415, "unsupported_content_type")
        if mode != "off" or body:
            ids = Ids(bodies.Rules(config, b"", twin.id_owner(config, asked)), api)
            target = ids.target(target)
            body = ids.body(body) if reads else body
            try:
                (body if reads else b"").decode()
                is_text = True
            except UnicodeDecodeError:
                is_text = False
            if reads and mode == "strict" and (ids.unexpected or not is_text):
                return refused(request, 400, "unreadable_body")
        asked.ids = ids

    found = {}
    for draw in range(DRAWS):
        asked.entropy = twin.siphash24_128(b"the conformance!", b"%d" % draw)
        decision = twin.decide(config, asked)
        if decision.slot is None:
            code, status = twin.refusal(decision)
            keys = [key_name(config, key) if key != twin.NO_ID_KEY else None for key in decision.id_keys]
            wait = {"retry-after": f"until {LATER}"} if decision.retry_after else None
            return refused(request, status, code, keys, wait, ids.quoted if ids is not None else b"")
        account = config.slots[decision.slot].identity.decode()
        if account not in found:
            found[account] = served(
                config, fields, request, answer, decision, ids, api, mode, path, target, body, came, handshake, account
            )
        if decision.source not in (twin.SOURCE_NONE, twin.SOURCE_STATELESS, twin.SOURCE_MINTED):
            break
    return found


def served(config, fields, request, answer, decision, ids, api, mode, path, target, body, came, handshake, account):
    """The request that the account gets, and the answer that the client gets."""
    if ids is not None and any(len(forms) > 1 for forms in ids.forms.values()):
        raise Unclear
    headers, name = request["headers"], (config.cookie_name or twin.default_name(config.scope))
    token = next(token for token in fields["tokens"] if token["name"] == account)
    sees = {"target": target.decode("latin-1"), "body": (body or b"").decode("latin-1"), "headers": {}}
    cookies = [twin.strip_field(field, name) for field in values(headers, "cookie")]
    sees["headers"]["cookie"] = [field.decode("latin-1") for field in cookies if field]
    sees["headers"]["x-affinity"] = []
    for name_of_all in sorted(
        {credential["name"] for each in fields["tokens"] for credential in each.get("headers", [])}
    ):
        sees["headers"][name_of_all] = []
    for credential in token.get("headers", []):
        if not credential.get("remove"):
            secret = credential["value"] if "value" in credential else SECRETS[credential["env"]]
            sees["headers"][credential["name"]] = [credential.get("prefix", "") + secret]
    for each in ("x-consumer", "x-session", "x-other", "content-type"):
        sees["headers"][each] = [value.decode("latin-1") for value in values(headers, each)]
    is_download = path.rstrip("/").rpartition("/")[2] in ("content", "results")
    seals = ids is not None and (
        ids.sealed or (mode == "open" and api in ("both", "items") and any(map(ids.comes_back_sealed, ids.forms)))
    )
    if seals and not is_download:
        sees["headers"]["accept-encoding"] = ["identity"]
    if body is not None and body != came:
        sees["headers"].update({digest: [] for digest in DIGESTS})
    elif body is not None:
        sees["headers"].update({d: [v.decode() for v in values(headers, d)] for d in DIGESTS if values(headers, d)})

    # The answer to the client.
    back = {"status": answer["status"], "headers": {}, "cookie": None}
    text, shown = answer["body"].encode("latin-1"), back["headers"]
    # Beside the gateway's own.
    theirs = [value for each, value in answer["headers"] if each.lower() == "set-cookie"]
    shown["set-cookie"] = [line for line in theirs if not twin.sets_our_cookie(line.encode("latin-1"), name)]
    shown["x-affinity"] = []
    pin = config.slots[decision.slot].id
    if ids is not None:
        rules = copy.copy(ids.rules)
        rules.is_sealed_type = lambda kinds, text: ids.rules.is_sealed_type(kinds, text) and ids.comes_back_sealed(text)
        rules.encrypted = ids.rules.encrypted and ids.sealed
    for each, value in answer["headers"]:
        if each.lower() in ("etag", "accept-ranges", "x-upstream", "content-type", *DIGESTS, *LOCATIONS):
            shown.setdefault(each.lower(), []).append(value)
    if seals:
        for each in LOCATIONS:
            if each in shown:
                shown[each] = [
                    ids.as_sent(located(rules, pin, api, value).encode(), pin).decode() for value in shown[each]
                ]
        passes = answer["status"] in (101, 204, 206, 304) or is_encoded(answer["headers"]) or is_download
        if content_of(answer["headers"]) in ("json", "events") and not passes:
            shown["etag"] = [value for value in shown.get("etag", []) if value.startswith("W/")]
            for each in ("accept-ranges", *DIGESTS):
                shown[each] = []
            if request["method"] != "HEAD":
                sealing = bodies.Sealing(rules, pin, api)
                text = sealing.events(text) if content_of(answer["headers"]) == "events" else sealing.document(text)
                text = ids.as_sent(text, pin)
    back["body"] = text.decode("latin-1") if request["method"] != "HEAD" else ""
    status = 200 if handshake and answer["status"] == 101 else answer["status"]
    finished = twin.finish(config, decision, status)
    if finished is not None:
        carrier, line = finished
        setback = decision.cookie
        key = twin.read_keys(config, _keys_of(request))[0]
        _, cookie = twin.read_value(
            setback.value,
            config.ring,
            setback.name,
            config.scope,
            key,
            NOW,
            twin.Limits(2**32, 0, 0, 0),
            twin.TagBudget(),
        )
        fresh = cookie.issued_at == NOW
        slot = (
            next(slot for slot in config.slots if not slot.vacant and slot.id == cookie.pin)
            if any(not slot.vacant and slot.id == cookie.pin for slot in config.slots)
            else None
        )
        back["cookie"] = {
            "carrier": carrier,
            "account": slot.identity.decode() if slot else None,
            "kind": NAMES["kind"][cookie.kind],
            "key_id": cookie.key_id,
            "id": "fresh" if fresh else cookie.id.hex(),
            "issued_at": "now" if fresh else cookie.issued_at,
            # Behind the value. Of a session that has lasted since the past, Max-Age says how long
            # it has.
            "attributes": None if carrier else line.partition(b"; ")[2].decode(),
        }
        if handshake:
            shown["cache-control"] = []
        else:
            shown["cache-control"] = ['no-cache="%s"' % ("x-affinity" if carrier else "Set-Cookie")]
    return {"upstream": sees, **back}


def located(rules, pin, api, text):
    """A location as the client gets it. Where the provider says its own address, it is the
    gateway's; another's is left.
    """
    origin = (b"{provider}", b"http://{gateway}")
    return bodies.seal_target(rules, pin, api, text.encode(), origin).decode()


def _keys_of(request):
    asked = twin.Request(0, b"")
    asked.trusted = True
    asked.consumer_values = [unjoined(value) for value in values(request["headers"], "x-consumer")]
    asked.session_values = [unjoined(value) for value in values(request["headers"], "x-session")]
    return asked


# ---- Making cases


def sealed(native, account="alpha", key="SUITE_KEY_1", key_id=1, owner=b"", scope=b""):
    ring = [twin.RingKey(key_id, KEYS[key], twin.SIGN)]
    return twin.seal_id(ring, scope, owner, native.encode(), twin.identity_hash(account.encode())).decode()


def marked(content, account="alpha"):
    ring = [twin.RingKey(1, KEYS["SUITE_KEY_1"], twin.SIGN)]
    return content + twin.mark_content(ring, b"", b"", content.encode(), twin.identity_hash(account.encode())).decode()


def cookie(
    account, key=None, key_id=1, issued_at=FIXED, refreshed_at=None, id=b"0123456789abcdef", name=b"pin", scope=b""
):
    made = twin.Cookie(
        twin.ANONYMOUS if key is None else key.kind,
        key_id,
        issued_at,
        refreshed_at or issued_at,
        id,
        twin.identity_hash(account.encode()),
    )
    return twin.encode(made, KEYS[f"SUITE_KEY_{key_id}"], name, scope, key).decode()


def home(config, key):
    """The account of a key where all are up."""
    config = config_of(config)
    return config.slots[
        twin.select(config.strategy, config.slots, config.placement_key, config.scope, key, FIXED)
    ].identity.decode()


def consumer_of(config, account):
    return next(
        name
        for name in (f"consumer-{n}" for n in range(1000))
        if home(config, twin.consumer_key(name.encode())) == account
    )


def session_of(config, account):
    return next(
        name
        for name in (f"session-{n}" for n in range(1000))
        if home(config, twin.session_key(name.encode())) == account
    )
