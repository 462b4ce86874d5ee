"""The real OpenAI client through the example's gateway, in front of accounts that keep their own
state.

The environment variable GATEWAY names the example's program, `make tower` builds it.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from stand import ACCOUNTS, client, without_a_jar


@pytest.mark.parametrize("consumers", [False, True])
def test_conversations_stay_on_every_replica(gateways, consumers):
    urls = [gateways(), gateways()]

    def converse(number):
        options = {"default_headers": {"x-consumer": f"consumer-{number}"}} if consumers else {}
        with client(urls[0], **options) as one:
            first = one.responses.with_raw_response.create(model="demo", input="Hello.")
            home, last = first.headers["x-demo-account"], first.parse().id
            for turn in range(6):
                # The copy has the same jar.
                other = one.with_options(base_url=f"{urls[turn % 2]}/v1").responses.with_raw_response
                if turn % 2:
                    answer = other.retrieve(last)
                else:
                    answer = other.create(model="demo", input="Continue.", previous_response_id=last)
                last = answer.parse().id
                assert answer.headers["x-demo-account"] == home
            return home

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(converse, range(12)))) > 1


def test_the_carrier_header_stands_for_a_jar(gateways):
    url = gateways()
    for _ in range(6):
        first = client(url).responses.with_raw_response.create(
            model="demo", input="Hello.", extra_headers={"x-affinity": ""}
        )
        assert first.headers.get("set-cookie") is None
        value, home = first.headers["x-affinity"], first.headers["x-demo-account"]
        for _ in range(3):
            # A client without a jar each time.
            read = client(url).responses.with_raw_response.retrieve(
                first.parse().id, extra_headers={"x-affinity": value}
            )
            assert (read.status_code, read.headers["x-demo-account"]) == (200, home)


def test_what_is_limited_is_tried_elsewhere_and_cools_down(gateways, upstream):
    url = gateways()
    upstream.limited["bravo"] = (429, {"retry-after-ms": "30000.5"})
    with client(url) as one:
        for _ in range(15):
            answer = one.embeddings.with_raw_response.create(model="demo", input="x", encoding_format="float")
            assert answer.headers["x-demo-account"] != "bravo"
            assert answer.parse().data[0].embedding == [0.5]


def test_refused_credentials_take_no_account_from_others(gateways, upstream):
    url = gateways()
    with client(url) as one:
        upstream.limited = dict.fromkeys(ACCOUNTS, (401, {}))
        for _ in range(10):
            with pytest.raises(openai.AuthenticationError):
                one.embeddings.create(model="demo", input="x")
        upstream.limited = {}
        for _ in range(10):
            assert one.embeddings.create(model="demo", input="x", encoding_format="float").data[0].embedding == [0.5]


def test_where_all_accounts_are_down_the_gateway_answers(gateways, upstream):
    url = gateways()
    # The example has a cooldown that takes unpaid accounts down.
    upstream.limited = dict.fromkeys(ACCOUNTS, (402, {}))
    with client(url) as one, pytest.raises(openai.InternalServerError) as refused:
        for _ in range(10):
            with pytest.raises(openai.APIStatusError) as unpaid:
                one.embeddings.create(model="demo", input="x")
            if unpaid.value.status_code != 402:
                raise unpaid.value
    assert refused.value.code == "no_account_available"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 300


@pytest.mark.parametrize("sealed_ids", ["off", "seal"])
def test_streams_come_as_they_are_sent(gateways, upstream, sealed_ids):
    url = gateways(sealed_ids)
    with client(url) as one:
        kinds = []
        for event in one.responses.create(model="demo", input="Hello.", stream=True):
            kinds.append(event.type)
            upstream.first_read.set()
        assert kinds == ["response.created", "response.completed"]
        # The cookie came with the stream's head.
        assert one.responses.retrieve(event.response.id).id == event.response.id


class Talk:
    """The requests of one client without a jar, with an object that it has made."""

    def __init__(self, urls, number):
        self.clients = [without_a_jar(url) for url in urls]
        self.number = number
        self.last = None  # the id of the last response
        self.more = {}  # what the first request names
        self.turn = 0
        one = self.clients[0]
        if number % 3 == 1:
            file = one.files.create(file=("a.txt", b"resp_1"), purpose="user_data").id
            self.more = {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": file}]}]}
            self.read = lambda one: one.files.with_raw_response.retrieve(file)
        elif number % 3 == 2:
            conversation = one.conversations.create().id
            self.more = {"conversation": conversation}
            self.read = lambda one: one.conversations.with_raw_response.retrieve(conversation)
        else:
            self.read = lambda one: one.responses.with_raw_response.retrieve(self.last)
        self.home = self.say()
        assert self.home in ACCOUNTS

    def say(self):
        """One more turn: the account, or the status of an error."""
        self.turn += 1
        one = self.clients[self.turn % len(self.clients)]
        try:
            if self.last and self.turn % 4 == 0:
                return self.read(one).headers["x-demo-account"]
            request = {"model": "demo", "input": "Continue.", **self.more}
            if self.last and "conversation" not in self.more:
                request["previous_response_id"] = self.last
            if (self.number + self.turn) % 2:
                with one.responses.with_streaming_response.create(**request, stream=True) as answer:
                    home = answer.headers["x-demo-account"]
                    ids = {event.response.id for event in answer.parse()}
                    assert len(ids) == 1
                    (self.last,) = ids
                    return home
            answer = one.responses.with_raw_response.create(**request)
            self.last = answer.parse().id
            return answer.headers["x-demo-account"]
        except openai.APIStatusError as error:
            return error.status_code


@pytest.mark.parametrize("sealed_ids", ["seal", "strict"])
def test_no_follow_up_is_lost_without_any_cookie(gateways, upstream, sealed_ids):
    urls = [gateways(sealed_ids), gateways(sealed_ids)]
    upstream.first_read.set()
    talks = [Talk(urls, number) for number in range(24)]
    assert {talk.home for talk in talks} == set(ACCOUNTS)
    assert all(talk.last.endswith(("tp0", "tp1", "tp2")) and len(talk.last) <= 64 for talk in talks)

    def everybody(turns):
        with ThreadPoolExecutor(6) as pool:
            return list(pool.map(lambda talk: {talk.say() for _ in range(turns)}, talks))

    assert everybody(8) == [{talk.home} for talk in talks]
    # One account fails: its objects are out of reach, and no others. Nothing is looked for
    # elsewhere.
    upstream.limited = {"bravo": (402, {"retry-after": "2"})}
    for talk, met in zip(talks, everybody(8), strict=True):
        assert met <= {402, 503} if talk.home == "bravo" else met == {talk.home}
    # Newcomers go elsewhere.
    fresh = []
    while len(fresh) < 6:
        try:
            fresh.append(Talk(urls, len(talks) + len(fresh)))
        except (openai.APIStatusError, AssertionError):
            assert upstream.limited
    assert {talk.home for talk in fresh} <= {"alpha", "charlie"}
    upstream.limited = {}
    time.sleep(2.1)
    assert everybody(8) == [{talk.home} for talk in talks]


def test_ids_of_two_accounts_conflict_and_unknown_ones_are_not_found(gateways):
    url = gateways("seal")
    one = without_a_jar(url)
    homes = {}
    while len(homes) < 2:
        answer = one.responses.with_raw_response.create(model="demo", input="Hello.")
        homes[answer.headers["x-demo-account"]] = answer.parse().id
    with pytest.raises(openai.BadRequestError) as refused:
        first, second = homes.values()
        one.responses.create(model="demo", input=[{"type": "item_reference", "id": first}], previous_response_id=second)
    assert refused.value.code == "conflicting_accounts"
    broken = second[:-5] + ("A" if second[-5] != "A" else "B") + second[-4:]
    with pytest.raises(openai.BadRequestError) as refused:
        one.responses.create(model="demo", input="Continue.", previous_response_id=broken)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    with pytest.raises(openai.NotFoundError) as refused:
        one.responses.retrieve(broken)
    assert refused.value.code == "not_found"


def test_a_long_request_is_opened_too(gateways):
    one = without_a_jar(gateways("seal"))
    for length in (10, 60_000, 70_000, 3_000_000):
        first = one.responses.with_raw_response.create(model="demo", input="Hello.")
        request = {"model": "demo", "input": "x" * length, "previous_response_id": first.parse().id}
        answer = one.responses.with_raw_response.create(**request)
        assert answer.headers["x-demo-account"] == first.headers["x-demo-account"]
        assert answer.parse().metadata["turn"] == "2"
