"""The affinity cookie: the values that are set, accepted, and passed to the upstream."""

import base64
import time

import httpx2
import pytest
import tokenpin_twin as twin
from gateway import ACCOUNTS, COOKIE, PLACEMENT_KEY, client, forge, opened, settings, tokens
from upstream import answering

DAY = 86400

ATTRIBUTES = {
    "default": ({}, COOKIE, "; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"),
    "plain HTTP": (
        {"name": "tokenpin", "secure": False, "http_only": False, "same_site": "strict"},
        "tokenpin",
        "; Path=/; Max-Age=2592000; SameSite=Strict",
    ),
    "everything": (
        {
            "name": "__Secure-tokenpin",
            "path": "/v1",
            "domain": "example.com",
            "same_site": "none",
            "partitioned": True,
            "max_age": 77,
        },
        "__Secure-tokenpin",
        "; Path=/v1; Domain=example.com; Max-Age=77; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
    "session cookie": ({"max_age": 0}, COOKIE, "; Path=/; Secure; HttpOnly; SameSite=Lax"),
    "idle limit": (
        {"max_idle": 3600, "max_age": "auto"},
        COOKIE,
        "; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax",
    ),
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", ATTRIBUTES)
def test_set_cookie(gateway, case):
    cookie, name, attributes = ATTRIBUTES[case]
    g = gateway(settings(cookie=cookie))
    answer = g.send()
    assert answer.values("set-cookie") == [f"{name}={answer.cookie}{attributes}"]
    made, account = opened(answer.cookie, name=name)
    assert account == answer.account
    assert made.kind == twin.ANONYMOUS
    assert abs(made.issued_at - time.time()) < 5 and made.refreshed_at == made.issued_at


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_session_stays_on_its_token(gateway, http2):
    g = gateway()
    begun = g.begin(http2=http2)
    for _ in range(5):
        answer = g.send(cookie=begun.cookie, http2=http2)
        assert (answer.status, answer.account) == (200, begun.account)
        assert answer.decision["source"] == "cookie" and answer.outcome == "pinned"
        assert answer.cookie is None, "nothing to refresh"
        assert g.upstream.last().values("cookie") == []


def test_a_real_cookie_jar_keeps_the_session(gateway):
    g = gateway(settings(cookie={"name": "tokenpin", "secure": False}))
    accounts = set()
    for _ in range(3):
        with client(cookies=httpx2.Cookies()) as browser:
            browser.cookies.set("theme", "dark", domain="127.0.0.1")
            answers = [g.send(via=browser) for _ in range(4)]
        assert len({answer.account for answer in answers}) == 1
        assert [answer.outcome for answer in answers] == ["placed", *["pinned"] * 3]
        assert g.upstream.last().values("cookie") == [b"theme=dark"]
        accounts.add(answers[0].account)


def test_sessions_are_spread_over_the_tokens(gateway):
    g = gateway()
    begun = [g.begin() for _ in range(60)]
    # The chance that one is missing is 3 * (2/3)^60, less than 1e-9.
    assert {answer.account for answer in begun} == {"alpha", "bravo", "charlie"}
    assert len({opened(answer.cookie)[0].id for answer in begun}) == len(begun)


def flipped(value, position):
    data = bytearray(base64.urlsafe_b64decode(value + "="))
    data[position] ^= 1
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


REFUSED = {
    "truncated": ("malformed", lambda: forge("alpha")[:-1]),
    "lengthened": ("malformed", lambda: forge("alpha") + "A"),
    "empty": ("malformed", lambda: ""),
    "other alphabet": ("malformed", lambda: "+" + forge("alpha")[1:]),
    "another kind": ("malformed", lambda: "H" + forge("alpha")[1:]),
    "a later version": ("unknown_version", lambda: "IA" + forge("alpha")[2:]),
    "unknown key": ("unknown_key", lambda: forge("alpha", key_id=2)),
    "made up": ("bad_tag", lambda: "EAE" + "A" * 64),
    **{
        f"a bit of {part} flipped": ("bad_tag", lambda at=at: flipped(forge("alpha"), at))
        for part, at in {"issued_at": 5, "refreshed_at": 9, "id": 12, "pin": 30, "tag": 49}.items()
    },
    "another scope's": ("bad_tag", lambda: forge("alpha", scope=b"other")),
    "another name's": ("bad_tag", lambda: forge("alpha", name="__Host-other")),
    "a consumer's": ("bad_tag", lambda: forge("alpha", key=twin.consumer_key(b"alice"))),
    "from the future": ("not_yet_valid", lambda: forge("alpha", age=-400)),
    "too old": ("expired_life", lambda: forge("alpha", age=31 * DAY, idle=0)),
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", REFUSED)
def test_refused_cookie(gateway, case):
    verdict, make = REFUSED[case]
    g = gateway()
    with g.counting() as rose:
        answer = g.send(cookie=make(), headers=[("cookie", "theme=dark")])
    assert answer.status == 200
    assert rose[f"verdict_{verdict}"] == 1, rose
    assert answer.decision["verdict"] == verdict
    assert answer.outcome == "placed"
    if verdict == "unknown_version":
        assert answer.cookie is None, "a newer cookie must not be overwritten"
    else:
        assert opened(answer.cookie)[1] == answer.account
    assert g.upstream.last().values("cookie") == [b"theme=dark"]


@pytest.mark.smoke
def test_a_cookie_is_worth_nothing_to_another_consumer(gateway):
    g = gateway(settings(keyed_cookies=True))
    alices = g.send(consumer="alice").cookie
    with g.counting() as rose:
        answer = g.send(consumer="bob", cookie=alices)
    assert answer.decision["verdict"] == "bad_tag"
    assert rose["verdict_bad_tag"] == 1
    assert g.send(consumer="alice", cookie=alices).decision["verdict"] == "valid"
    # The same bytes as a session key are another key.
    assert g.send(session="alice", cookie=alices).decision["verdict"] == "other_key"


def test_expired_by_idling(gateway):
    g = gateway(settings(cookie={"max_idle": 100}))
    with g.counting() as rose:
        answer = g.send(cookie=forge("alpha", age=200, idle=103))
    assert answer.decision["verdict"] == "expired_idle"
    assert rose["verdict_expired_idle"] == 1
    assert opened(answer.cookie)[1] == answer.account


@pytest.mark.smoke
def test_refresh(gateway):
    g = gateway(settings(cookie={"max_idle": 100}))
    young = g.send(cookie=forge("alpha", age=5))
    assert (young.decision["verdict"], young.cookie) == ("valid", None)
    old = forge("alpha", age=50, idle=30)
    answer = g.send(cookie=old)
    assert (answer.decision["verdict"], answer.outcome) == ("refresh_due", "pinned")
    before, after = opened(old)[0], opened(answer.cookie)[0]
    assert (after.id, after.issued_at, after.pin) == (before.id, before.issued_at, before.pin)
    assert abs(after.refreshed_at - time.time()) < 5


def test_max_age_shrinks_with_the_life_that_is_left(gateway):
    g = gateway(settings(cookie={"max_idle": 100, "max_life": 1000}))
    line = g.send(cookie=forge("alpha", age=970, idle=30)).value("set-cookie")
    # 30 s are left, less the time of the test; time(2) may be behind by a tick of the kernel's.
    assert any(f"; Max-Age={left};" in line for left in range(15, 32)), line


def test_idle_sessions_expire_and_busy_ones_do_not(gateway):
    g = gateway(settings(cookie={"max_idle": 4}))
    busy = idle = g.begin("alpha").cookie
    for _ in range(5):
        time.sleep(1.1)
        answer = g.send(cookie=busy)
        assert answer.outcome == "pinned", answer.decision
        busy = answer.cookie or busy
    answer = g.send(cookie=idle)
    assert answer.decision["verdict"] == "expired_idle"
    assert opened(answer.cookie)[0].id != opened(idle)[0].id


def test_busy_sessions_end_with_their_life(gateway):
    g = gateway(settings(cookie={"max_life": 2, "skew": 0}))
    begun = g.begin()
    issued_at = opened(begun.cookie)[0].issued_at
    early = g.send(cookie=begun.cookie)
    time.sleep(max(0, issued_at + 3.05 - time.time()))
    late = g.send(cookie=begun.cookie)
    assert early.decision["verdict"] == "valid"
    assert late.decision["verdict"] == "expired_life"


V = f"{COOKIE}={'A' * 67}"  # a cookie of our name

# The client's fields, and those that the upstream must get, by docs/spec/cookie-format.md.
STRIPPED = {
    "alone": ([V], []),
    "first": ([f"{V}; theme=dark"], ["theme=dark"]),
    "in the middle": ([f"a=1; {V}; b=2"], ["a=1; b=2"]),
    "last": ([f"a=1; {V}"], ["a=1"]),
    "several": ([f"{V}; a=1; {COOKIE}=; {V}"], ["a=1"]),
    "no blanks": ([f"a=1;{V};b=2"], ["a=1;b=2"]),
    "odd blanks": ([f'a =1;\t{V} ;   b= "x y" '], ['a =1;   b= "x y"']),
    "quoted": ([f'a="1"; {COOKIE}="{"A" * 67}"; b'], ['a="1"; b']),
    "other case": ([f"{V.lower()}; a=1"], [f"{V.lower()}; a=1"]),
    "prefix of a name": ([f"{COOKIE}x=1; x{V}"], [f"{COOKIE}x=1; x{V}"]),
    "comma": ([f"a=1, {V}"], [f"a=1, {V}"]),
    "nameless": ([f"={V}; a=1"], [f"={V}; a=1"]),
    "empty pairs": ([f";;{V};;a=1;;"], [";;;a=1;;"]),
    "only blanks left": ([f" ; {V}; "], []),
    "non-ASCII": ([f"a=\xe4\xff; {V}"], ["a=\xe4\xff"]),
    "untouched": (['a=1;b="; c;  d'], ['a=1;b="; c;  d']),
    "several fields": ([V, "a=1", f"b=2; {V}", "c=3"], ["a=1", "b=2", "c=3"]),
}


@pytest.mark.parametrize("case", STRIPPED)
def test_stripping(gateway, case):
    sent, expected = STRIPPED[case]
    g = gateway()
    lines = "".join(f"Cookie: {field}\r\n" for field in sent)
    head = f"GET /v1/files HTTP/1.1\r\nHost: gateway\r\n{lines}X-Other: {V}\r\n\r\n"
    answer = g.raw(head.encode("latin-1"))
    assert answer.status == 200
    assert g.upstream.last().values("x-other") == [V.encode()]
    got = [value.decode("latin-1") for value in g.upstream.last().values("cookie")]
    assert got == expected


@pytest.mark.smoke
def test_stripping_http2_crumbs(gateway):
    g = gateway()
    cookie = forge("alpha")
    # Envoy joins the fields of HTTP/2 before the filters see them (RFC 9113 section 8.2.3).
    crumbs = ["a=1", f"{COOKIE}={cookie}", "b=2", f"{COOKIE}=x; c=3"]
    answer = g.send(headers=[("cookie", crumb) for crumb in crumbs], http2=True)
    assert (answer.outcome, answer.account) == ("pinned", "alpha")
    assert g.upstream.last().values("cookie") == [b"a=1; b=2; c=3"]


@pytest.mark.smoke
def test_stripping_where_no_cookie_is_read(gateway):
    g = gateway()
    answer = g.send("POST", "/v1/models", headers=[("cookie", f"a=1; {COOKIE}={forge('alpha')}")])
    assert answer.decision["source"] == "stateless" and answer.cookie is None
    assert g.upstream.last().values("cookie") == [b"a=1"]


@pytest.mark.smoke
def test_the_upstream_has_no_say_in_our_cookie(gateway):
    g = gateway()
    theirs = ["a=1; Path=/", f"{COOKIE}=evil; Path=/", "b=2", f' {COOKIE} ="x"', f"{COOKIE}x=1"]
    g.upstream.answer = answering(200, [("set-cookie", line) for line in theirs])
    kept = ["a=1; Path=/", "b=2", f"{COOKIE}x=1"]
    begun = g.begin()
    again = g.send(cookie=begun.cookie)
    stateless = g.send("POST", "/v1/models")
    lines = begun.values("set-cookie")
    assert [line for line in lines if begun.cookie not in line] == kept
    assert len(lines) == len(kept) + 1
    assert again.values("set-cookie") == kept
    assert stateless.values("set-cookie") == kept


@pytest.mark.parametrize("status", [200, 201, 204, 299, 302, 400, 404, 500, 503])
def test_a_cookie_comes_with_success_only(gateway, status):
    g = gateway()
    g.upstream.answer = answering(status, body=b"")
    assert (g.send().cookie is not None) == (status < 300)


def test_success_can_be_wider(gateway):
    g = gateway(settings(success=[200, 404]))
    for status, set in {200: True, 404: True, 405: False}.items():
        g.upstream.answer = answering(status)
        assert (g.send().cookie is not None) == set


@pytest.mark.smoke
def test_cache_control(gateway):
    g = gateway(settings(cache_control=True))
    begun = g.begin()
    assert begun.value("cache-control") == 'no-cache="Set-Cookie"'
    assert g.send(cookie=begun.cookie).value("cache-control") is None
    g.upstream.answer = answering(200, [("cache-control", "max-age=60")])
    both = g.begin()
    directives = ",".join(both.values("cache-control")).replace(" ", "").split(",")
    assert sorted(directives) == ["max-age=60", 'no-cache="Set-Cookie"']
    g.update(settings())
    assert g.begin().value("cache-control") == "max-age=60"


@pytest.mark.smoke
def test_cache_control_of_a_carrier(gateway):
    g = gateway(settings(cache_control=True, carrier_header="x-pin"))
    begun = g.send(headers=[("x-pin", "")])
    assert begun.values("cache-control") == ['no-cache="x-pin"']
    assert g.send(headers=[("x-pin", begun.value("x-pin"))]).values("cache-control") == []
    assert g.begin().values("cache-control") == ['no-cache="Set-Cookie"']
    g.update(settings(carrier_header="x-pin"))
    assert g.send(headers=[("x-pin", "")]).values("cache-control") == []


@pytest.mark.smoke
@pytest.mark.parametrize("form", ["{0}", "{0},", ",{0}", "{0},,{0}", "{0}, ,{0}"])
@pytest.mark.parametrize("beside", [[], [""], [","]], ids=["alone", "empty", "comma"])
def test_copies_of_a_carried_value_are_one(gateway, form, beside):
    g = gateway(settings(carrier_header="x-pin"))
    begun = g.send(headers=[("x-pin", "")])
    value = begun.value("x-pin")
    lines = [*beside, form.format(value), *beside, value]
    again = g.send(headers=[("x-pin", line) for line in lines])
    assert (again.outcome, again.account) == ("pinned", begun.account)
    other = g.send(headers=[("x-pin", line) for line in [*lines, forge("alpha")]])
    assert other.decision["verdict"] == "absent"


@pytest.mark.smoke
def test_carrier_header(gateway):
    g = gateway(settings(carrier_header="x-pin"))
    begun = g.send(headers=[("x-pin", "")])
    value = begun.value("x-pin")
    assert opened(value)[1] == begun.account
    assert begun.values("set-cookie") == []
    other = next(name for name in ("alpha", "bravo") if name != begun.account)
    carrier_value = g.send(headers=[("x-pin", value)])
    # It was issued earlier, so it counts even if a cookie comes too.
    both = g.send(headers=[("x-pin", value)], cookie=forge(other, age=-5))
    for answer in (carrier_value, both):
        assert (answer.outcome, answer.account) == ("pinned", begun.account)
        assert answer.values("set-cookie") == []
    assert all(request.values("x-pin") == [] for request in g.upstream.requests)
    # Without the header the answer is a cookie.
    plain = g.begin()
    assert plain.value("x-pin") is None
    # A refused value gets its new one in the header.
    fresh = g.send(headers=[("x-pin", "forged")])
    assert fresh.decision["verdict"] == "malformed"
    assert opened(fresh.value("x-pin"))[1] == fresh.account


def test_an_upstreams_carrier_header_is_not_ours(gateway):
    g = gateway(settings(carrier_header="x-pin"))
    begun = g.send(headers=[("x-pin", "")])
    g.upstream.answer = answering(200, [("x-pin", "evil")])
    answer = g.send(headers=[("x-pin", begun.value("x-pin"))])
    assert answer.values("x-pin") in ([], ["evil"])
    fresh = g.send(headers=[("x-pin", "")])
    assert len(fresh.values("x-pin")) == 1 and fresh.value("x-pin") != "evil"


def test_mint_single(gateway):
    one = tokens("alpha")
    g = gateway(settings(tokens=one))
    assert g.send().cookie is None
    g.update(settings(tokens=one, mint_single=True))
    begun = g.begin()
    g.update(settings())
    assert g.send(cookie=begun.cookie).outcome == "pinned"


def test_prompt_cache(gateway):
    g = gateway()
    chat = "/v1/chat/completions"
    assert g.send("POST", chat, consumer="alice").decision["source"] == "stateless"
    g.update(settings(prompt_cache=True))
    keyed = g.send("POST", chat, consumer="alice")
    assert keyed.decision["source"] == "consumer"
    assert g.send("POST", chat).cookie is None, "without state nothing is minted"
    pinned = g.send("POST", chat, cookie=forge("bravo"))
    assert (pinned.outcome, pinned.account) == ("pinned", "bravo")


def test_several_cookies_of_one_name(gateway):
    g = gateway()
    first, second = forge("alpha", age=50), forge("bravo", age=100)
    with g.counting() as rose:
        answer = g.send(headers=[("cookie", f"{COOKIE}={first}; {COOKIE}=junk; {COOKIE}={second}")])
    assert answer.account == "bravo", "the one that was issued first counts"
    assert rose["ambiguous"] == 1


def test_other_strategies_and_scope(gateway):
    slots = [twin.Slot(account.encode()) for account in ACCOUNTS]
    for strategy, number in {"rendezvous": twin.RENDEZVOUS, "higress_fnv1a_modulo": 2}.items():
        g = gateway(settings(strategy=strategy, scope="openai"))
        for consumer in ("alice", "bob", "carol", "dave"):
            key = twin.consumer_key(consumer.encode())
            slot = twin.select(number, slots, PLACEMENT_KEY, b"openai", key, 0)
            assert g.send(consumer=consumer).account == ACCOUNTS[slot]
