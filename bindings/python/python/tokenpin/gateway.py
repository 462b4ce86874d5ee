"""The common part of `tokenpin.asgi` and `tokenpin.wsgi`: one configuration at work, and one
exchange without its I/O.

The rules are those of docs/guides/embedding.md and of the layer for tower, whose words the
configuration has.
"""

import json
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Callable, NamedTuple, Optional, Union

from ._enums import Answer, Ids, Mode, Refusal, State
from ._headers import CREDENTIAL_KEYS, CREDENTIAL_WORDS, DIGEST_HEADERS, LOCATION_HEADERS, PAYER_HEADERS
from ._tokenpin import Affinity, Decision, IdOpener, IdSealer, cookie_strip, set_cookie_matches
from ._types import Error, SlotStatus

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, and values."""


class Head(NamedTuple):
    """The head of a request."""

    method: str
    target: bytes
    """Path and query, as the client sent them."""
    headers: Headers

    def values(self, name: str) -> list[bytes]:
        """All values of a header."""
        return _values(self.headers, name.lower().encode())


class Cooldown(NamedTuple):
    """The effect of some statuses on the account that answered with them."""

    statuses: Sequence[int]
    """Each 400 to 599."""
    state: str = State.DRAINING
    """`draining`: the account keeps its sessions and gets no new anonymous ones; or `down`: it
    serves no session.
    """
    seconds: int = 30
    retry_after: Optional[int] = 3600
    """The most seconds that the response may ask for, instead of `seconds`; None to ignore it."""


class Retry(NamedTuple):
    """When a request is tried again on another account."""

    statuses: Sequence[int] = (401, 429)
    """Each 400 to 599. A 5xx may come after the work was done."""
    max: int = 1
    """The greatest number of retries, 1 to 3."""
    body_limit: int = 1 << 20
    """The longest body that is kept for it."""


Credentials = Union[None, str, Mapping[str, str]]
Reader = Callable[[Head], Union[bytes, str]]

# A client can bring about a 401 or 403, and would take one account after another down from all
# others.
COOLDOWNS = (Cooldown((401, 429)),)


class Gateway:
    """One configuration at work: an affinity, the credentials of its slots, and what is read from
    requests.

    `credentials` are the headers of each slot's account; a str is a bearer token, None is for a
    vacant slot. Write names of headers as in HTTP. Raises `ValueError` for options that do not fit.
    """

    def __init__(
        self,
        affinity: Affinity,
        credentials: Sequence[Credentials],
        *,
        consumer_header: Optional[str] = None,
        session_header: Optional[str] = None,
        carrier_header: Optional[str] = None,
        scope: Optional[Reader] = None,
        id_hint: Optional[Reader] = None,
        existing: Optional[Callable[[Head], bool]] = None,
        sealed_ids: Optional[Callable[[Head], str]] = None,
        bodies: bool = True,
        max_body: int = 64 << 20,
        max_held: int = 1 << 30,
        refuse_upgrades: bool = False,
        origin: Optional[tuple[str, Reader]] = None,
        forward_client_credentials: bool = False,
        cooldowns: Sequence[Cooldown] = COOLDOWNS,
        retry: Optional[Retry] = None,
    ) -> None:
        self.affinity = affinity
        self._credentials = [_as_headers(each) for each in credentials]
        self._account_names = {_folded(name) for headers in self._credentials for name, _ in headers}
        self.consumer_header, self.session_header = _name(consumer_header), _name(session_header)
        self.carrier_header = _name(carrier_header)
        self.scope, self.id_hint, self.existing, self.sealed_ids = scope, id_hint, existing, sealed_ids
        self.bodies, self.max_body, self.max_held = bodies, max_body, max_held
        self.refuse_upgrades, self.origin = refuse_upgrades, origin
        self.forward_client_credentials = forward_client_credentials
        self.cooldowns, self.retry = tuple(cooldowns), retry
        self._lock = threading.Lock()
        self._held = 0
        self._cooled: list[Optional[SlotStatus]] = [None] * len(affinity)
        self._check()

    def _check(self) -> None:
        slots, there = len(self.affinity), len(self._credentials)
        if there != slots:
            raise ValueError("credentials of %d slots for an affinity of %d" % (there, slots))
        carrier = self.carrier_header
        taken = (self.consumer_header, self.session_header, b"cookie", b"set-cookie")
        if carrier is not None and (carrier in taken or is_client_credential(carrier)):
            raise ValueError("the carrier header %s is used for something else" % carrier.decode())
        for index, cooldown in enumerate(self.cooldowns):
            if not _failures(cooldown.statuses):
                raise ValueError("cooldowns[%d]: the statuses are not one or more of 400 to 599" % index)
            if cooldown.state not in (State.DRAINING, State.DOWN):
                raise ValueError("cooldowns[%d]: the state is neither draining nor down" % index)
            if cooldown.seconds < 1 or (cooldown.retry_after is not None and cooldown.retry_after < 1):
                raise ValueError("cooldowns[%d]: a time is less than a second" % index)
        if self.max_body < 1 or self.max_held < 1:
            raise ValueError("max_body or max_held is less than a byte")
        if self.retry is not None and not _failures(self.retry.statuses):
            raise ValueError("retry: the statuses are not one or more of 400 to 599")
        if self.retry is not None and not 1 <= self.retry.max <= 3:
            raise ValueError("retry: max is not 1 to 3")

    def set_slot(self, slot: int, status: SlotStatus) -> None:
        """Changes a slot's state, weight and until. Until it is up again, responses do not change
        it.
        """
        with self._lock:
            self.affinity.set_slot(slot, status)
            self._cooled[slot] = None

    def cool(self, slot: int, status: int, headers: Headers) -> None:
        """Lets the account in a slot cool down if its response asks for that."""
        cooldown = next((each for each in self.cooldowns if status in each.statuses), None)
        if cooldown is None:
            return
        now = int(time.time())
        asked = None if cooldown.retry_after is None else _retry_after(headers, now)
        if asked is None or cooldown.retry_after is None:
            seconds = cooldown.seconds
        else:
            seconds = min(max(asked, 1), cooldown.retry_after)
        state, until = State(cooldown.state), now + seconds
        with self._lock:
            live = self.affinity.get_slot(slot)
            if live.state != State.UP and not (live.until and now >= live.until):
                longer = live.state == state and live.until < until
                worse = live.state == State.DRAINING and state == State.DOWN
                if self._cooled[slot] != live or not (longer or worse):
                    return
            status_now = SlotStatus(state, live.weight, until)
            self.affinity.set_slot(slot, status_now)
            self._cooled[slot] = status_now

    def apply(self, slot: int, headers: Headers) -> Headers:
        """The headers of a request with the credentials of the account in a slot, and without those
        of others.
        """
        kept = [pair for pair in headers if _folded(pair[0]) not in self._account_names]
        return kept + self._credentials[slot]

    def hold(self, size: int) -> bool:
        """Counts a body among the held ones. Returns False, uncounted, if there is no room."""
        with self._lock:
            if self._held + size > self.max_held:
                return False
            self._held += size
            return True

    def let_go(self, size: int) -> None:
        with self._lock:
            self._held -= size


class Refused(Exception):
    """The gateway's own answer: a row of the tables in docs/guides/embedding.md."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: Optional[str] = None,
        of_request: bool = False,
        retry_after: int = 0,
        header: Optional[tuple[bytes, bytes]] = None,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.of_request, self.retry_after, self.header = of_request, retry_after, header

    def answer(self, request: Headers) -> tuple[int, Headers, bytes]:
        """Status, headers and body, in the form that the client of this request expects."""
        if _values(request, b"anthropic-version"):
            kind = {404: "not_found_error", 413: "request_too_large"}.get(self.status, "invalid_request_error")
            kind = kind if self.status < 500 else "api_error"
            content: dict[str, object] = {"type": "error", "error": {"type": kind, "message": self.message}}
        else:
            kind = "invalid_request_error" if self.of_request else "gateway_error"
            content = {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if self.retry_after:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        if self.header is not None:
            headers.append(self.header)
        return self.status, headers, body


def _of_error(error: Error) -> Refused:
    if error.status == "scope_length":
        return Refused(400, "bad_tenant", "The tenant cannot be determined.")
    return Refused(500, "affinity_error", "The gateway cannot choose an account.")


def _of_decision(affinity: Affinity, decision: Decision, opener: Optional[IdOpener]) -> Refused:
    # The client's own text, of the characters that ids have.
    quoted = " '%s'" % opener.quoted if opener is not None and opener.quoted else ""
    first, second = (None if key is None else affinity.id_key(key) for key in decision.id_keys)
    message, param = {
        Refusal.NO_ACCOUNT_AVAILABLE: ("No account is available.", None),
        Refusal.BAD_AFFINITY_KEY: ("The session's key cannot be used.", None),
        Refusal.SESSION_UNAVAILABLE: ("The session's account is unavailable.", None),
        Refusal.PREVIOUS_RESPONSE_NOT_FOUND: ("The previous response%s was not found." % quoted, first),
        Refusal.INVALID_ENCRYPTED_CONTENT: ("The encrypted content could not be verified.", None),
        Refusal.NOT_FOUND: ("The object%s named by '%s' was not found." % (quoted, first), first),
        Refusal.CONFLICTING_ACCOUNTS: (
            "The objects named by '%s' and '%s' cannot be used together: they were created apart." % (first, second),
            second,
        ),
        Refusal.UNREADABLE_BODY: ("The request's body cannot be read.", None),
    }[decision.refusal]
    status = decision.refusal_status
    return Refused(
        status, decision.refusal, message, param=param, of_request=status < 500, retry_after=decision.retry_after
    )


def _too_large() -> Refused:
    return Refused(413, "request_too_large", "The request's body is too large.", of_request=True)


def _too_many() -> Refused:
    return Refused(503, "too_many_bodies", "The gateway holds too many requests.", retry_after=1)


def _unreadable() -> Refused:
    return Refused(400, "unreadable_body", "The request's body cannot be read.", of_request=True)


class Exchange:
    """One request and its response. What it raises is `Refused`."""

    decision: Decision
    slot: int

    def __init__(self, gateway: Gateway, head: Head, *, is_websocket: bool = False) -> None:
        self.gateway, self.head = gateway, head
        self.is_websocket = is_websocket
        self.method = "CONNECT" if is_websocket or _is_handshake(head) else head.method
        self.tried: list[int] = []
        self.opener: Optional[IdOpener] = None
        self.sealer: Optional[IdSealer] = None
        self.body: Optional[bytes] = None
        """The body as the account gets it, if it was read to its end."""
        self._came = 0
        self._share = 0
        self._parts: list[bytes] = []
        self._refused: Optional[Refused] = None
        self._path = head.target.partition(b"?")[0]
        try:
            self._scope = b"" if gateway.scope is None else _bytes(gateway.scope(head))
            self._name = gateway.affinity.cookie_name(self._scope)
            self._read_target()
        except Error as error:
            raise _of_error(error) from error

    # ---- The request

    def _read_target(self) -> None:
        gateway, head = self.gateway, self.head
        affinity = gateway.affinity
        _, _, self.ids = affinity.classify(self.method, self._path)
        if self.ids == Ids.NONE:
            return
        owner = affinity.id_owner(self._values(gateway.consumer_header), consumer_trusted=True)
        mode = None if gateway.sealed_ids is None else gateway.sealed_ids(head)
        self.opener = affinity.opener(head.target, self.ids, scope=self._scope, owner=owner, mode=mode)
        self.mode = Mode(self.opener.mode)
        if self.mode == Mode.OFF and not (gateway.bodies and _may_have_body(head)):
            self.opener = None

    def waits(self) -> bool:
        """True if the body has to be read before anything else is done."""
        if self.opener is None:
            return False
        mode, has_state = self.mode, self.ids in (Ids.BOTH, Ids.ITEMS)
        if self.method == "CONNECT":
            may_pass = mode == Mode.OFF or (mode == Mode.OPEN and not self.gateway.refuse_upgrades)
            if may_pass or not has_state or b"realtime" in self._path.split(b"/"):
                return False
            raise Refused(
                426,
                "websocket_not_supported",
                "This is not served over a WebSocket.",
                of_request=True,
                header=(b"upgrade", b"HTTP/1.1"),
            )
        if not _may_have_body(self.head):
            return False
        content, encoded = _content(self.head.headers), _is_encoded(self.head.headers)
        if content == "json" and not encoded:
            length = _values(self.head.headers, b"content-length")
            if length and length[0].isdigit() and int(length[0]) > self.gateway.max_body:
                if mode == Mode.OFF:
                    return False
                self._refuse(_too_large())
            return True
        if mode in (Mode.OFF, Mode.OPEN) or (mode == Mode.SEAL and content != "json"):
            return False
        if mode == Mode.STRICT and content == "multipart" and self.opener.uploads:
            return False
        if content != "json":
            raise Refused(415, "unsupported_content_type", "The request's body has to be JSON.", of_request=True)
        raise Refused(
            415,
            "unsupported_content_encoding",
            "The request's body must not be encoded.",
            of_request=True,
            header=(b"accept-encoding", b"identity"),
        )

    def read(self, chunk: bytes) -> bool:
        """Takes a chunk of the body. False if no more is taken: what is left of the body passes as
        it comes.
        """
        assert self.opener is not None
        self._came += len(chunk)
        if self._refused is not None:
            # Most clients read the answer no sooner than all is sent.
            if self._came > self.gateway.max_body:
                raise self._refused
            return True
        over = None
        if self._came > self.gateway.max_body:
            over = _too_large()
        elif not self.gateway.hold(len(chunk)):
            over = _too_many()
        if over is None:
            self._share += len(chunk)
            self._parts.append(self.opener.push(chunk))
            return True
        if self.mode == Mode.OFF:
            self._parts += [self.opener.finish(), chunk]
            return False
        self.close()
        self._refuse(over)
        return True

    def _refuse(self, refused: Refused) -> None:
        self._refused, self._came, self._parts = refused, 0, []

    def front(self) -> bytes:
        """Returns the part that was read of a body of which no more is taken."""
        front, self._parts = b"".join(self._parts), []
        return front

    def end(self) -> None:
        """The body that was read ends here."""
        assert self.opener is not None
        if self._refused is not None:
            raise self._refused
        self._parts.append(self.opener.finish())
        body, self._parts = b"".join(self._parts), []
        if self.mode == Mode.STRICT and (self.opener.unexpected or not _is_utf8(body)):
            raise _unreadable()
        self.body = body

    def decide(self) -> None:
        """Decides which account serves."""
        gateway, head = self.gateway, self.head
        affinity, carrier, hint = gateway.affinity, gateway.carrier_header, None
        carried = [] if carrier is None else [value for name, value in head.headers if name == carrier]
        if gateway.id_hint is not None:
            of = _bytes(gateway.id_hint(head))
            hint = affinity.id_hint(of) if 0 < len(of) <= 4096 else None
        try:
            self.decision = affinity.decide(
                self.method,
                self._path,
                cookies=_values(head.headers, b"cookie"),
                consumer=self._values(gateway.consumer_header),
                consumer_trusted=True,
                session=self._values(gateway.session_header),
                existing=gateway.existing is not None and gateway.existing(head),
                ids=self.opener,
                carrier_value=_the_one([_unjoined(value) for value in carried]) or b"",
                carrier=bool(carried),
                scope=self._scope,
                tried=self.tried,
                id_hint=hint,
            )
        except Error as error:
            raise _of_error(error) from error
        if self.decision.slot is None:
            raise _of_decision(affinity, self.decision, self.opener)
        self.slot = self.decision.slot

    def outgoing(self) -> tuple[bytes, Headers]:
        """Target and headers as the account gets them."""
        gateway, headers = self.gateway, []
        for name, value in self.head.headers:
            if name == b"cookie":
                value = cookie_strip(value, self._name)
                if not value:
                    continue
            if name == gateway.carrier_header:
                continue
            if not gateway.forward_client_credentials and is_client_credential(name):
                continue
            headers.append((name, value))
        opener = self.opener
        target = self.head.target if opener is None else opener.target
        if opener is not None and opener.changes_response and not opener.downloads:
            # The ids in a compressed response could not be seen.
            headers = [pair for pair in headers if pair[0] != b"accept-encoding"]
            headers.append((b"accept-encoding", b"identity"))
        if self.body is not None:
            drop = {b"content-length", b"transfer-encoding"}
            if len(self.body) != self._came:
                # The text in place of an id is shorter.
                drop.update(DIGEST_HEADERS)
            headers = [pair for pair in headers if pair[0] not in drop]
            headers.append((b"content-length", b"%d" % len(self.body)))
        return target, gateway.apply(self.slot, headers)

    def close(self) -> None:
        """Nothing is held any more."""
        share, self._share = self._share, 0
        if share:
            self.gateway.let_go(share)

    # ---- The response

    def may_retry(self, status: int) -> bool:
        """True if another account may be asked after this status, if the body is there to be sent
        again.
        """
        retry = self.gateway.retry
        return retry is not None and self.decision.may_move and len(self.tried) < retry.max and status in retry.statuses

    def keeps(self) -> Optional[int]:
        """Returns how much of a passing body to keep for a retry; None for none."""
        retry = self.gateway.retry
        return retry.body_limit if retry is not None and self.decision.may_move else None

    def another(self) -> bool:
        """Decides again, without the account that was asked."""
        before, decision = self.slot, self.decision
        self.tried.append(before)
        try:
            self.decide()
        except Refused:
            self.slot, self.decision = before, decision
            return False
        return True

    def respond(self, status: int, headers: Headers, *, is_upgrade: bool = False) -> Headers:
        """The headers of a response of the account's as the client gets them. Sets `sealer` if its
        body is to be sealed.
        """
        gateway, sealer = self.gateway, None
        out = [
            (name, value)
            for name, value in headers
            if name != gateway.carrier_header and not (name == b"set-cookie" and set_cookie_matches(value, self._name))
        ]
        if self.opener is not None and self.opener.changes_response:
            sealer = self._sealer(out)
            out = [(name, sealer.target(value)) if name in LOCATION_HEADERS else (name, value) for name, value in out]
            if status in (101, 204, 206, 304) or is_upgrade or self._passes(out):
                sealer = None
            else:
                out = [pair for pair in out if not _changes(*pair)]
        answer, text = Answer.NOTHING, ""
        if self.decision.sets_cookie:
            try:
                # The status that the same handshake has over HTTP/2.
                answer, text = gateway.affinity.finish(self.decision, 200 if is_upgrade else status)
            except Error:
                # The affinity was closed under way: the response is returned without a cookie.
                pass
        carrier = gateway.carrier_header
        name = b"set-cookie" if answer == Answer.SET_COOKIE else carrier if answer == Answer.CARRIER else None
        if name is not None:
            out.append((name, text.encode()))
            if not is_upgrade:
                # A cached value would share a session.
                shown = b"Set-Cookie" if name == b"set-cookie" else name
                out.append((b"cache-control", b'no-cache="' + shown + b'"'))
        self.sealer = None if self.head.method == "HEAD" else sealer
        return out

    def _sealer(self, headers: Headers) -> IdSealer:
        origin = self.gateway.origin
        upstream, own = ("", b"") if origin is None else (origin[0], _bytes(origin[1](self.head)))
        return self.gateway.affinity.sealer(
            self.slot, self.opener, events=_content(headers) == "events", upstream=upstream, origin=own
        )

    def _passes(self, headers: Headers) -> bool:
        listed = _content(headers) in ("json", "events")
        return not listed or (self.opener is not None and self.opener.downloads) or _is_encoded(headers)

    def _values(self, name: Optional[bytes]) -> list[bytes]:
        return [] if name is None else [_unjoined(value) for value in _values(self.head.headers, name)]


# ---- Headers


def _bytes(text: Union[bytes, str]) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _name(name: Optional[str]) -> Optional[bytes]:
    return None if name is None else name.lower().encode()


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for other, value in headers if other == name]


def _as_headers(credentials: Credentials) -> Headers:
    if credentials is None:
        return []
    if isinstance(credentials, str):
        credentials = {"authorization": "Bearer " + credentials}
    headers = [(name.lower().encode(), value.encode()) for name, value in credentials.items()]
    for name, value in headers:
        if not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9a-z-]+", name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ValueError("credentials: %s is no header, or has a bad byte in its value" % name.decode())
    return headers


def _folded(name: bytes) -> bytes:
    """Returns the name as a server sees it that makes a variable of it."""
    return name.replace(b"_", b"-")


def is_client_credential(name: bytes) -> bool:
    """True if a header of this name, in lower case, is a client's own credential."""
    name = _folded(name)
    words = name.split(b"-")
    keys = any(word == b"key" and before in CREDENTIAL_KEYS for before, word in zip(words, words[1:]))
    return keys or name in PAYER_HEADERS or any(word in CREDENTIAL_WORDS for word in words)


def _the_one(values: list[bytes]) -> Optional[bytes]:
    """The value that all are which are not empty; None for different ones."""
    different = {value for value in values if value}
    return different.pop() if len(different) == 1 else None if different else b""


def _unjoined(value: bytes) -> bytes:
    """The value that copies of it make, which a proxy in front has joined by commas. Else the value
    as it is.
    """
    one = _the_one([part.strip() for part in value.split(b",")])
    return value if one is None else one


def _has_token(headers: Headers, name: bytes, token: bytes) -> bool:
    return any(part.strip().lower() == token for value in _values(headers, name) for part in value.split(b","))


def _is_handshake(head: Head) -> bool:
    return (
        head.method == "GET"
        and _has_token(head.headers, b"connection", b"upgrade")
        and _has_token(head.headers, b"upgrade", b"websocket")
    )


def _may_have_body(head: Head) -> bool:
    length = _values(head.headers, b"content-length")
    if length:
        return length[0].strip() != b"0"
    # Over HTTP/1.1, what has neither has none.
    return bool(_values(head.headers, b"transfer-encoding")) or head.method not in ("GET", "HEAD", "DELETE", "OPTIONS")


def _content(headers: Headers) -> str:
    """A body without a type is taken for JSON: many servers do, too."""
    values = _values(headers, b"content-type")
    kind = re.split(rb"[;,]", values[0])[0].strip().lower() if values else b""
    if kind in (b"", b"application/json") or kind.endswith(b"+json"):
        return "json"
    if kind == b"text/event-stream":
        return "events"
    return "multipart" if kind.startswith(b"multipart/") else "other"


def _is_encoded(headers: Headers) -> bool:
    codings = b",".join(_values(headers, b"content-encoding")).split(b",")
    return any(coding.strip().lower() not in (b"", b"identity") for coding in codings)


def _changes(name: bytes, value: bytes) -> bool:
    """True if a header says what is only true of the bytes that a body had. A weak tag says that it
    means the same.
    """
    if name == b"etag":
        return not value.strip().startswith(b"W/")
    return name in DIGEST_HEADERS or name in (b"content-length", b"accept-ranges")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _failures(statuses: Sequence[int]) -> bool:
    return bool(statuses) and all(400 <= status <= 599 for status in statuses)


def _decimal(text: bytes) -> Optional[int]:
    found = re.fullmatch(rb"([0-9]+)(?:\.([0-9]+))?", text)
    return None if found is None else int(found[1][:30]) + bool((found[2] or b"").strip(b"0"))


def _retry_after(headers: Headers, now: int) -> Optional[int]:
    """The whole seconds that cover what a response asks to wait."""
    for value in _values(headers, b"retry-after-ms")[:1]:
        milliseconds = _decimal(value)
        if milliseconds is not None:
            return -(-milliseconds // 1000)
    for value in _values(headers, b"retry-after")[:1]:
        seconds = _decimal(value)
        if seconds is not None:
            return seconds
        try:
            return max(0, int(parsedate_to_datetime(value.decode()).timestamp()) - now)
        except (ValueError, TypeError, OverflowError):
            return None
    return None


__all__ = ["Cooldown", "Exchange", "Gateway", "Head", "Headers", "Refused", "Retry"]
