"""A provider with several accounts, each with its own state, which notes every request."""

import collections
import dataclasses
import itertools
import json
import threading
import time

import tokenpin_twin as twin
from belief import Belief
from gateway import COOKIE, authorizations
from upstream import Upstream, reply

TAG = "x-soak"  # the number of the request, from client to provider
EVIL = "E" * 66 + "A"  # the value of a cookie that the provider tries to set
THEIRS = "up=1; Path=/"  # another one, which must pass
OTHERS = b'theme=dark; a="b"'  # what a session's client sends beside our cookie
COOLDOWNS = {401: ("down", 2), 429: ("draining", 2)}


@dataclasses.dataclass
class Try:
    account: str
    status: int
    at: float
    evil: bool
    cooldowns: list


@dataclasses.dataclass
class Trail:
    """One request, from its client to the accounts that were asked."""

    number: int
    belief: Belief
    session: bool  # true for a well-behaved client
    begin: float
    tries: list = dataclasses.field(default_factory=list)


class Provider:
    def __init__(self, accounts, fail):
        self.fail = fail
        self.stores = {account: set() for account in accounts}
        self.modes = {}  # account -> the status of all its answers
        self.trails = {}
        self.numbers = itertools.count()
        self.ids = itertools.count()
        self.seen = collections.Counter()
        self.lock = threading.Lock()
        self.server = Upstream(authorizations(accounts))
        self.server.requests = collections.deque(maxlen=1)  # not read by any test
        self.server.answer = self.answer

    def trail(self, belief, session):
        made = Trail(next(self.numbers), belief, session, time.time())
        self.trails[made.number] = made
        return made

    def done(self, trail, answered):
        now = time.time()
        self.trails.pop(trail.number, None)
        for each in trail.tries:
            trail.belief.cooled(each.cooldowns, now, answered)
        return now

    def answer(self, request):
        now = time.time()
        self.inspect(request)
        tags = request.values(TAG)
        trail = self.trails.get(int(tags[0])) if tags else None
        number = next(self.ids)
        status, body = self.serve(request, number)
        headers = []
        evil = number % 8 == 0
        if evil:
            headers += [("set-cookie", THEIRS), ("set-cookie", f" {COOKIE} = {EVIL}; Path=/")]
            headers.append(("x-pin", EVIL))
        if status == 429 and number % 2:
            headers.append(("retry-after", str(COOLDOWNS[429][1])))
        if trail is not None:
            cooldowns = []
            if status in COOLDOWNS:
                cooling = COOLDOWNS[status]
                cooldowns = trail.belief.may_cool(request.account, *cooling, trail.begin, now)
            trail.tries.append(Try(request.account, status, now, evil, cooldowns))
            if trail.session and request.values("cookie") != [OTHERS]:
                self.fail("stripped", f"other cookies changed: {request.values('cookie')}")
        elif status in COOLDOWNS:
            self.fail("explained", f"a request without its number met a {status}")
        with self.lock:
            self.seen[status] += 1
            self.seen["evil"] += evil
        text = json.dumps(body).encode()
        if status == 200 and b'"stream": true' in request.body:
            headers.append(("content-type", "text/event-stream"))
            text = b"event: response.created\ndata: " + text + b"\n\ndata: [DONE]\n\n"
        return reply(request, status, headers, text)

    def serve(self, request, number):
        account = request.account
        if account is None:
            return 400, {}
        mode = self.modes.get(account)
        if mode is not None:
            return mode, {}
        store = self.stores[account]
        if request.method == "GET" and request.target.startswith("/v1/responses/resp_"):
            return (200 if request.target.rpartition("/")[2] in store else 404), {}
        if request.method == "POST" and request.target == "/v1/responses":
            try:
                previous = json.loads(request.body or b"{}").get("previous_response_id")
            except ValueError:
                return 400, {}
            if previous is not None and previous not in store:
                return 404, {}
            name = f"resp_{number}"
            store.add(name)
            return 200, {"id": name}
        return 200, {}

    def inspect(self, request):
        """Checks that a request holds nothing of ours, and the credential of one account."""
        names = {COOKIE.encode()}
        tenants = [value for value in request.values("x-tenant") if value]
        if len(tenants) == 1:
            names = {twin.default_name(b"\0" + tenants[0])}
        for field in request.values("cookie"):
            if any(twin.values_of(field, name) for name in names):
                self.fail("stripped", f"a cookie of ours reached the provider: {field!r}")
        if request.values("x-pin"):
            self.fail("stripped", "the carrier header reached the provider")
        if request.account is None or len(request.values("authorization")) != 1:
            self.fail("stripped", f"not one credential of one account: {request.head[:200]!r}")
