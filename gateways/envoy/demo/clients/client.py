"""Sessions of the real OpenAI client for Python, which keep no cookie, as README.md describes them.

Reads one job per line, and answers each with a line: `{"job", "status", "account"}`. Jobs of
different sessions run at the same time.
"""

import http.cookiejar
import json
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai

WRITING = threading.Lock()
LOST = -1  # the status of a wrong answer that looks like a success


class Wrong(Exception):
    pass


def check(right):
    if not right:
        raise Wrong


def without_key(request):
    del request.headers["authorization"]


class Session:
    def __init__(self, job):
        self.kind, self.stream = job["kind"], job["stream"]
        self.turn = 0
        self.account = None
        nothing = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
        self.http = httpx2.Client(
            cookies=http.cookiejar.CookieJar(nothing),
            event_hooks={"response": [self.note]},
            timeout=20,
        )
        if job["key"] is None:
            self.http.event_hooks["request"].append(without_key)
        self.client = openai.OpenAI(
            api_key=job["key"] or "none",
            base_url="http://127.0.0.1/v1",
            default_headers=job["headers"],
            http_client=self.http,
            max_retries=0,  # every failure has to show
        )

    def note(self, response):
        self.account = response.headers.get("x-demo-account")

    def respond(self, files=0, **fields):
        """Continues the session, and checks that nothing of it is lost."""
        made = self.api.responses.create(**{"model": "demo", "input": "Continue.", "stream": self.stream, **fields})
        if self.stream:
            last = None
            for event in made:
                last = event
            check(last is not None and last.type == "response.completed")
            made = last.response
        self.turn += 1
        self.text = f"This is turn {self.turn}, with {files} files."
        if made.output_text != self.text:
            self.turn -= 1
            raise Wrong
        self.last = made.id

    def begin(self):
        if self.kind == "responses":
            self.respond()
            return
        if self.kind == "files":
            self.files = [
                self.api.files.create(file=("a.txt", text), purpose="assistants").id for text in (b"cats", b"dogs")
            ]
            self.make_store()
        self.talk = self.api.conversations.create().id
        if self.kind == "conversation":
            self.respond(conversation=self.talk)

    def make_store(self):
        store = self.api.vector_stores.create(name="both", file_ids=self.files)
        check(store.file_counts.completed == 2)
        self.store = store.id

    def follow_up(self, number):
        if self.kind == "responses":
            if number % 2 == 0:
                self.respond(previous_response_id=self.last)
            else:
                found = self.api.responses.retrieve(self.last)
                check(found.id == self.last and found.output_text == self.text)
        elif self.kind == "conversation":
            if number % 2 == 0:
                self.respond(conversation=self.talk)
            else:
                items = self.api.conversations.items.list(self.talk).data
                check(len(items) == 2 * self.turn)
        elif number % 4 == 0:
            file = {"type": "input_file", "file_id": self.files[0]}
            self.respond(
                files=3,
                conversation=self.talk,
                input=[{"role": "user", "content": [file]}],
                tools=[{"type": "file_search", "vector_store_ids": [self.store]}],
            )
        elif number % 4 == 1:
            found = self.api.vector_stores.files.list(self.store).data
            check({file.id for file in found} == set(self.files))
        elif number % 4 == 2:
            self.make_store()
        else:
            check(self.api.files.content(self.files[1]).text == "dogs")

    def do(self, job):
        # The copy shares the connection pool.
        self.api = self.client.with_options(base_url=f"{job['url']}/v1")
        self.account = None
        try:
            if job["number"] is None:
                self.begin()
            else:
                self.follow_up(job["number"])
            status = 200
        except (Wrong, openai.APIError) as error:
            print(f"session {job['session']}: {error!r}", file=sys.stderr)
            if isinstance(error, openai.APIConnectionError):
                status = 0
            else:
                status = getattr(error, "status_code", LOST)
        return {"job": job["job"], "status": status, "account": self.account}


def answer(done):
    if error := done.exception():
        traceback.print_exception(error)
        os._exit(1)  # else the demo would wait forever for the answer
    line = f"{json.dumps(done.result())}\n"
    with WRITING:
        sys.stdout.write(line)
        sys.stdout.flush()


def main():
    sessions = {}
    with ThreadPoolExecutor(8) as pool:
        for line in sys.stdin:
            job = json.loads(line)
            if job["session"] not in sessions:
                sessions[job["session"]] = Session(job)
            done = pool.submit(sessions[job["session"]].do, job)
            done.add_done_callback(answer)


if __name__ == "__main__":
    main()
