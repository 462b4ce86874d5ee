"""A gateway under test: Envoy with the filter, an upstream behind it, clients in front of it."""

import contextlib
import dataclasses
import http.client
import http.cookiejar
import re
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import h2.config
import h2.connection
import h2.events
import httpx2
import stack
import tokenpin_twin as twin
from bodies_twin import WORSE
from upstream import Upstream
from vector_files import KEY_REASONS, OUTCOMES, PIN_STATES, SOURCES, VERDICTS

ACCOUNTS = ["alpha", "bravo", "charlie"]
KNOWN = [*ACCOUNTS, "delta"]  # delta has a credential, and is added by some tests
COOKIE = "__Host-tokenpin"  # the default name without a scope
CONSUMER = "x-consumer"
SESSION = "x-session"
OURS = re.compile(r"[^=]*tokenpin[^=]*=([A-Za-z0-9_-]{67});")
DECISION = "x-decision"  # the response header with the decision

# The enums of a decision, as the Python implementation numbers them.
NAMES = {
    "source": SOURCES,
    "outcome": OUTCOMES,
    "pin_state": PIN_STATES,
    "verdict": VERDICTS,
    "id_verdict": WORSE,
    "key_reason": KEY_REASONS,
}

PLACEMENT_KEY = bytes.fromhex("6b1f0c5d2e9a48b7a3d4c5e6f7081920")
# By key id.
COOKIE_KEYS = {
    1: bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    2: bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
}


def credential(account):
    return f"sk-{account}-0123456789abcdef"


def authorizations(accounts):
    """The authorization values by which an `Upstream` knows the accounts."""
    return {f"Bearer {credential(name)}".encode(): name for name in accounts}


ENVIRONMENT = {
    "PLACEMENT_KEY": PLACEMENT_KEY.hex(),
    **{f"COOKIE_KEY_{id}": key.hex() for id, key in COOKIE_KEYS.items()},
    **{stack.variable_of(account): credential(account) for account in KNOWN},
}

# Secrets, and each cookie that was made. No log may hold one, which is checked after the tests.
LOGGED_NEVER = set(ENVIRONMENT.values())


def leaks(folder):
    """Yields the secrets and cookies in the logs that an Envoy wrote."""
    for path in sorted(folder.glob("**/*.log")):
        text = path.read_text(errors="replace")
        yield from (f"{path}: {value}" for value in LOGGED_NEVER if value in text)


def token(account, **fields):
    variable = stack.variable_of(account)
    header = {"name": "authorization", "prefix": "Bearer ", "env": variable}
    return {"name": account, "headers": [header], **fields}


def tokens(*accounts, **fields):
    """The tokens of a configuration; a keyword names a token and replaces fields of it."""
    return [token(account, **fields.get(account, {})) for account in accounts or ACCOUNTS]


def cookie_keys(**roles):
    """A ring by role: `cookie_keys(sign=2, retire=1)`."""
    return [{"id": id, "role": role, "key": {"env": f"COOKIE_KEY_{id}"}} for role, id in roles.items()]


def settings(**fields):
    """The configuration that the tests begin with, some fields replaced; None leaves one out."""
    base = {
        "placement_key": {"env": "PLACEMENT_KEY"},
        "cookie_keys": cookie_keys(sign=1),
        "consumer": {"header": CONSUMER, "trusted": True},
        "session": [{"header": SESSION}],
        "tokens": tokens(),
        "response_header": DECISION,
    }
    return {name: value for name, value in {**base, **fields}.items() if value is not None}


def forge(account, *, key=None, age=0, idle=None, id=None, key_id=1, name=COOKIE, scope=b""):
    """A cookie's value as the filter would have made it `age` seconds ago.

    `idle` is the time since its last refresh, `key` the affinity key of a keyed one.
    """
    now = int(time.time())
    kind = twin.ANONYMOUS if key is None else key.kind
    refreshed_at = now - (age if idle is None else idle)
    cookie = twin.Cookie(
        kind,
        key_id,
        now - age,
        refreshed_at,
        id or secrets.token_bytes(16),
        twin.identity_hash(account.encode()),
    )
    value = twin.encode(cookie, COOKIE_KEYS[key_id], name.encode(), scope, key).decode()
    LOGGED_NEVER.add(value)
    return value


def opened(value, *, key=None, key_id=1, name=COOKIE, scope=b""):
    """Returns the contents of a cookie signed with the key, and the account of its pin."""
    ring = [twin.RingKey(key_id, COOKIE_KEYS[key_id], twin.SIGN)]
    limits = twin.Limits(0, 0, 0, 0)
    verdict, cookie = twin.read_value(value.encode(), ring, name.encode(), scope, key, 2**32, limits, twin.TagBudget())
    assert verdict == twin.VALID, f"verdict {verdict} for {value}"
    LOGGED_NEVER.add(value)
    accounts = {twin.identity_hash(known.encode()): known for known in KNOWN}
    return cookie, accounts.get(cookie.pin)


def home(key, scope=b"", slots=None):
    """The account that serves a key when all tokens are up."""
    slots = slots or [twin.Slot(account.encode()) for account in ACCOUNTS]
    slot = twin.select(twin.JUMP, slots, PLACEMENT_KEY, scope, key, 0)
    return slots[slot].identity.decode()


def consumer_of(account):
    """A consumer whose home is the account."""
    names = (f"consumer-{number}" for number in range(1000))
    return next(name for name in names if home(twin.consumer_key(name.encode())) == account)


@dataclasses.dataclass
class Answer:
    """A response as the client got it."""

    status: int
    headers: list
    body: bytes

    def values(self, name):
        return [value for each, value in self.headers if each == name]

    def value(self, name):
        values = self.values(name)
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def account(self):
        """The account whose credential the upstream saw; None if it was not asked."""
        return self.value("x-account")

    @property
    def decision(self):
        pairs = (self.value(DECISION) or "").split(", ")
        return dict(pair.split("=") for pair in pairs if pair)

    @property
    def outcome(self):
        return self.decision.get("outcome")

    @property
    def cookies(self):
        """The values of the affinity cookies that came back, under any names."""
        lines = [OURS.match(line) for line in self.values("set-cookie")]
        return [match[1] for match in lines if match]

    @property
    def cookie(self):
        """The only affinity cookie, or None."""
        values = self.cookies
        assert len(values) < 2, f"several affinity cookies: {values}"
        return values[0] if values else None


def received(status, headers, body):
    answer = Answer(status, headers, body)
    LOGGED_NEVER.update(answer.cookies)
    return answer


def no_cookies():
    """A jar that keeps nothing: the tests send cookies by hand."""
    return http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))


def client(http2=False, cookies=None):
    return httpx2.Client(
        http1=not http2,
        http2=http2,
        timeout=stack.PATIENCE,
        trust_env=False,
        verify=False,  # no TLS is spoken, and loading certificates is slow
        cookies=no_cookies() if cookies is None else cookies,
    )


def encoded(pairs):
    return [tuple(x.encode("latin-1") if isinstance(x, str) else x for x in pair) for pair in pairs]


class Gateway:
    """The gateway with its upstream and clients. `close` closes all of them."""

    def __init__(self, folder, module_folder, environment=None, upstream=None):
        self.folder = folder
        self.upstream = upstream or Upstream(authorizations(KNOWN))
        self.envoy = stack.Envoy(folder, module_folder, {**ENVIRONMENT, **(environment or {})})
        self.clients = {}

    def configure(
        self,
        routes=None,
        filters=(),
        behind=(),
        clusters=(),
        with_filter=True,
        upstream_port=None,
        **manager,
    ):
        """Adds filters in front of ours or behind it, and routes and clusters to the default."""
        routes = [*(routes or []), route()]
        port = self.upstream.port if upstream_port is None else upstream_port
        clusters = [stack.cluster("upstream", port), *clusters]
        chain = [*filters, *([self.envoy.filter()] if with_filter else []), *behind]
        manager = {
            "generate_request_id": False,
            "server_header_transformation": "PASS_THROUGH",
            "delayed_close_timeout": "0.1s",
            **manager,
        }
        self.envoy.configuration = stack.bootstrap(chain, routes, clusters, **manager)

    def start(self, settings):
        try:
            self.envoy.start(settings)
        except stack.Refused:
            self.envoy.stop()
            raise
        self.url = self.envoy.url
        self.update = self.envoy.update

    def send(
        self,
        method="POST",
        path="/v1/responses",
        headers=(),
        cookie=None,
        consumer=None,
        session=None,
        body=None,
        http2=False,
        via=None,
    ):
        """Sends one request and returns the answer.

        `cookie` is a value of the affinity cookie, `via` a client other than the gateway's own.
        """
        headers = list(headers)
        if cookie is not None:
            headers.append(("cookie", f"{COOKIE}={cookie}"))
        if consumer is not None:
            headers.append((CONSUMER, consumer))
        if session is not None:
            headers.append((SESSION, session))
        if body is None and method == "POST":
            body = b'{"input":"Hello."}'
        via = via or self.client(http2)
        response = via.request(method, self.url + path, headers=encoded(headers), content=body)
        pairs = [(n.decode().lower(), v.decode("latin-1")) for n, v in response.headers.raw]
        return received(response.status_code, pairs, response.content)

    def client(self, http2=False):
        if http2 not in self.clients:
            self.clients[http2] = client(http2)
        return self.clients[http2]

    def begin(self, account=None, **options):
        """Begins an anonymous session, on the account if one is named."""
        while True:
            answer = self.send(**options)
            assert answer.status == 200 and answer.cookie, f"no session began: {answer}"
            if account in (None, answer.account):
                return answer

    def parallel(self, count, call):
        """Calls `call(0..count)` at the same time and returns the results."""
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(call, range(count)))

    def connect(self):
        connection = socket.create_connection((stack.LOOPBACK, self.envoy.port))
        connection.settimeout(stack.PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def raw(self, data):
        """Sends the bytes of one request. Returns the answer, None if the connection was closed."""
        with self.connect() as connection:
            connection.sendall(data)
            response = http.client.HTTPResponse(connection)
            try:
                response.begin()
            except (http.client.HTTPException, ConnectionError):
                return None
            pairs = [(name.lower(), value) for name, value in response.getheaders()]
            return received(response.status, pairs, response.read())

    def multiplex(self, *requests, body=b""):
        """Sends requests, each a list of headers, on one HTTP/2 connection before any is answered.

        All have the same body, and its last frame ends the stream. Returns the answers in order,
        with None for a stream that was reset.
        """
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            normalize_outbound_headers=False,
            validate_outbound_headers=False,
        )
        http2 = h2.connection.H2Connection(config)
        http2.initiate_connection()
        pending, answers = {}, {}
        fixed = [(":scheme", "http"), (":authority", "gateway")]
        for headers in requests:
            if not any(name == ":method" for name, _ in headers):
                headers = [(":method", "POST" if body else "GET"), *headers]
            if not any(name == ":path" for name, _ in headers):
                headers = [(":path", "/v1/files"), *headers]
            stream = http2.get_next_available_stream_id()
            http2.send_headers(stream, encoded([*fixed, *headers]), end_stream=not body)
            pending[stream] = body
        order = list(pending)

        def send_bodies():
            for stream, rest in pending.items():
                while rest and (window := http2.local_flow_control_window(stream)):
                    size = min(window, http2.max_outbound_frame_size)
                    http2.send_data(stream, rest[:size], end_stream=len(rest) <= size)
                    pending[stream] = rest = rest[size:]

        with self.connect() as connection:
            while pending:
                send_bodies()
                connection.sendall(http2.data_to_send())
                data = connection.recv(65536)
                if not data:
                    break
                for event in http2.receive_data(data):
                    stream = getattr(event, "stream_id", None)
                    if isinstance(event, h2.events.ResponseReceived):
                        pairs = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
                        answers[stream] = [int(dict(pairs)[":status"]), pairs, b""]
                    elif isinstance(event, h2.events.DataReceived):
                        answers[stream][2] += event.data
                    elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                        pending.pop(stream, None)
                    elif isinstance(event, h2.events.ConnectionTerminated):
                        pending.clear()
        return [received(*answers[stream]) if stream in answers else None for stream in order]

    def counters(self):
        return self.envoy.metrics()

    @contextlib.contextmanager
    def counting(self):
        """Fills the dictionary that it yields with the counters that rose, and their increase."""
        rose = {}
        before = self.counters()
        yield rose
        for name, value in self.counters().items():
            if not name.endswith("fingerprint") and value != before.get(name, 0):
                rose[name] = value - before.get(name, 0)

    def alive(self):
        return self.envoy.process.alive()

    def close(self):
        for each in self.clients.values():
            each.close()
        self.envoy.stop()
        self.upstream.close()


def route(prefix="/", cluster="upstream", headers=None, **fields):
    match = {"prefix": prefix}
    if headers:
        match["headers"] = headers
    if "direct_response" not in fields:
        fields["route"] = {"timeout": "15s", **fields.get("route", {})}
        if "cluster_header" not in fields["route"]:
            fields["route"]["cluster"] = cluster
    return {"match": match, **fields}


def access_log(folder, fields):
    """An access log of the filter's metadata in `folder`/access.log, one line per request."""
    form = "%FILTER_STATE(wasm.tokenpin.{}:PLAIN)%" if stack.WASM else "%DYNAMIC_METADATA(tokenpin:{})%"
    line = " ".join(form.format(field) for field in fields) + "\n"
    kind = stack.extension(
        "access_loggers.file.v3.FileAccessLog",
        path=str(folder / "access.log"),
        log_format={"text_format_source": {"inline_string": line}},
    )
    return [{"name": "envoy.access_loggers.file", "typed_config": kind}]


def lines_of(folder, count=1):
    path = folder / "access.log"
    stack.wait_for("the access log", lambda: path.exists() and path.read_text().count("\n") >= count)
    return path.read_text().splitlines()
