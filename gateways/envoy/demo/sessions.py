"""Conversations held by the real OpenAI client."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import openai

CONSUMER_HEADER = "x-consumer"
LOST = -1  # the status of a wrong answer that looks like a success
WORKERS = 8


@dataclasses.dataclass
class Tally:
    """The results of a group of sessions: one row of the table."""

    sessions: int = 0
    follow_ups: int = 0
    not_found: int = 0
    unavailable: int = 0
    lost: int = 0
    other_errors: int = 0
    moved: int = 0
    accounts: set = dataclasses.field(default_factory=set)

    @property
    def errors(self):
        return self.not_found + self.unavailable + self.lost + self.other_errors


class Session:
    """One client with its own cookie jar, in one conversation.

    A session with a consumer sends the header that an authenticating gateway would set.
    """

    def __init__(self, consumer=None):
        self.consumer = consumer
        headers = {CONSUMER_HEADER: consumer} if consumer else None
        # The client does not retry: every failure has to show.
        self.client = openai.OpenAI(
            api_key="the-gateway-has-the-token",
            base_url="http://127.0.0.1/v1",
            default_headers=headers,
            max_retries=0,
            timeout=20,
        )
        self.home = None  # the account that began the conversation
        self.last_response = None
        self.seen = []  # (status, account) of every follow-up; 0 and None for no answer

    def open(self, url):
        status, account = self.call(url, self.create, None)
        if status != 200:
            raise RuntimeError(f"a conversation could not begin: status {status}")
        self.home = account

    def follow_up(self, url, turn):
        """Alternates between continuing the conversation and reading its last response."""
        send = self.create if turn % 2 == 0 else self.retrieve
        self.seen.append(self.call(url, send, self.last_response))

    def call(self, url, send, response_id):
        # The copy shares the connection pool and the cookie jar.
        client = self.client.with_options(base_url=f"{url}/v1")
        try:
            answer = send(client.responses.with_raw_response, response_id)
        except openai.APIStatusError as error:
            answer = error.response
        except openai.APIConnectionError:
            return 0, None
        else:
            self.last_response = answer.parse().id
        return answer.status_code, answer.headers.get("x-demo-account")

    def create(self, responses, response_id):
        if response_id is None:
            return responses.create(model="demo", input="Hello.")
        return responses.create(model="demo", input="Continue.", previous_response_id=response_id)

    def retrieve(self, responses, response_id):
        return responses.retrieve(response_id)

    def close(self):
        self.client.close()


class Crowd:
    """Sessions that run at the same time."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(WORKERS)
        self.sessions = []

    def open(self, count, urls, consumers=False):
        """Begins `count` conversations and returns their sessions."""
        numbers = range(len(self.sessions), len(self.sessions) + count)
        new = [Session(f"consumer-{number}" if consumers else None) for number in numbers]
        return self.begin(new, urls)

    def begin(self, new, urls):
        self.sessions += new
        for _ in self.pool.map(lambda each: each[1].open(urls[each[0] % len(urls)]), enumerate(new)):
            pass
        return new

    def follow_up(self, turns, urls):
        """Every session makes `turns` follow-ups; with several urls it alternates between them."""
        for turn in range(turns):
            for _ in self.pool.map(lambda job: job[0].follow_up(*job[1:]), self.jobs(turn, urls)):
                pass

    def jobs(self, turn, urls):
        # Half of the sessions begin with the other url, so that each url gets every kind of turn.
        for number, session in enumerate(self.sessions):
            yield session, urls[(number // 2 + turn) % len(urls)], turn

    def forget_follow_ups(self):
        for session in self.sessions:
            session.seen.clear()

    def close(self):
        self.pool.shutdown(cancel_futures=True)
        for session in self.sessions:
            session.close()


def tally(sessions):
    result = Tally(sessions=len(sessions))
    for session in sessions:
        result.follow_ups += len(session.seen)
        for status, account in session.seen:
            if status == 404:
                result.not_found += 1
            elif status == 503:
                result.unavailable += 1
            elif status == LOST:
                result.lost += 1
            elif status != 200:
                result.other_errors += 1
            if account:
                result.accounts.add(account)
        result.moved += any(account not in (None, session.home) for _, account in session.seen)
    return result
