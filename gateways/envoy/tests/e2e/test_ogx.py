"""A real server of files, vector stores, batches and responses, ogx, as three accounts.

The clients have no cookie. The server does not always report what it lacks: a vector store of a
missing file is 200 with a file that failed, and a stream after a missing response is 200 with an
error in it.
"""

import http.cookiejar
import json
import re

import openai
import pytest
import stack
from real import NATIVE, SEALED, World, code

pytestmark = pytest.mark.ogx

# Each client has one account, by its own credential, which the gateway then replaces.
OWN = {"session": [{"header": "authorization"}], "sealed_ids": "seal"}
OPAQUE = re.compile(r'"provider_vector_store_id"|"attributes":\{"document_id"')
BATCH_LINE = {
    "custom_id": "first",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "openai/model", "messages": [{"role": "user", "content": "Hello."}]},
}


@pytest.fixture(scope="module")
def world(run):
    made = World("ogx", run.build, run.folder / "ogx")
    yield made
    made.close()


@pytest.fixture
def sealing(world):
    world.update(**OWN)
    yield world
    assert world.model.refused() == []


@pytest.fixture
def clients(sealing):
    made = []

    def make(count, **options):
        new = [sealing.client(secret=f"sk-client-{len(made) + n}", **options) for n in range(count)]
        made.extend(new)
        return new

    yield make
    for each in made:
        each.close()
        # Metadata and attributes are the client's data, and this server writes ids into them.
        bodies = [text for text in each.texts if not OPAQUE.search(text)]
        native = {id for text in bodies for id in NATIVE.findall(text)}
        assert not native, f"ids that are not sealed: {native}"


def upload(each, text, purpose="assistants"):
    made = each.api.files.create(file=("a.txt", text.encode()), purpose=purpose)
    assert SEALED.fullmatch(made.id) and each.api.files.content(made.id).text == text
    return made.id


def settle(each, store):
    """Waits until all its files are done, and returns their counts."""

    def done():
        counts = each.api.vector_stores.retrieve(store).file_counts
        return None if counts.in_progress else counts

    return stack.wait_for("the files of a vector store", done)


def test_files_of_one_vector_store(clients):
    everybody = clients(6)
    for number, each in enumerate(everybody):
        cats, dogs = (upload(each, f"all about {what} {number}") for what in ("cats", "dogs"))
        store = each.api.vector_stores.create(name="both", file_ids=[cats, dogs]).id
        counts = settle(each, store)
        assert (counts.completed, counts.failed) == (2, 0)
        listed = {file.id for file in each.api.vector_stores.files.list(store, limit=1)}
        assert listed == {cats, dogs}
        found = each.api.vector_stores.search(store, query=f"all about dogs {number}").data
        assert [result.content[0].text for result in found][0] == f"all about dogs {number}"
        assert len(found) == 2
        birds = upload(each, f"all about birds {number}")
        added = each.api.vector_stores.files.create(store, file_id=birds)
        assert (added.id, added.status) == (birds, "completed")
        many = each.api.vector_stores.file_batches.create(store, file_ids=[upload(each, "x")])
        again = each.api.vector_stores.file_batches.retrieve(many.id, vector_store_id=store)
        assert again.id == many.id
        each.api.files.delete(cats)
        with pytest.raises(openai.NotFoundError):
            each.api.files.retrieve(cats)
    assert len({each.account for each in everybody}) > 1


def test_a_batch(clients):
    """A batch is uploaded and polled, and its output is read by an id that appears later."""
    for each in clients(4):
        lines = upload(each, json.dumps(BATCH_LINE) + "\n", purpose="batch")
        made = each.api.batches.create(input_file_id=lines, endpoint="/v1/chat/completions", completion_window="24h")
        assert made.input_file_id == lines

        def done(each=each, id=made.id):
            batch = each.api.batches.retrieve(id)
            return batch if batch.status == "completed" else None

        batch = stack.wait_for("the batch", done)
        assert batch.request_counts.failed == 0 and SEALED.fullmatch(batch.output_file_id)
        output = json.loads(each.api.files.content(batch.output_file_id).text)
        assert output["custom_id"] == "first" and output["response"]["status_code"] == 200
        # A file is downloaded as the provider wrote it.
        each.texts = [text for text in each.texts if "custom_id" not in text]
        assert made.id in {listed.id for listed in each.api.batches.list()}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_responses_and_conversations_go_on(clients, stream):
    everybody = clients(6)
    chain = {each: each.say("One.", stream)[0] for each in everybody}
    talk = {each: each.api.conversations.create().id for each in everybody}
    for turn in (2, 3):
        for each in everybody:
            id, number, _ = each.say("More.", stream, previous_response_id=chain[each])
            assert number == turn
            assert each.api.responses.retrieve(id).id == id
            assert each.api.responses.input_items.list(id).data
            chain[each] = id
            assert each.say("More.", stream, conversation=talk[each])[1] == turn - 1
            assert len(list(each.api.conversations.items.list(talk[each]))) == 2 * (turn - 1)


def test_a_file_in_a_response(clients):
    for each in clients(6):
        file = upload(each, "all about cats")
        parts = [{"type": "input_file", "file_id": file}, {"type": "input_text", "text": "More."}]
        assert each.say([{"role": "user", "content": parts}])[1] == 1
        store = each.api.vector_stores.create(name="one", file_ids=[file]).id
        assert settle(each, store).completed == 1
        tools = [{"type": "file_search", "vector_store_ids": [store]}]
        assert each.say("More.", tools=tools)[1] == 1


@pytest.mark.parametrize("kept", [False, True], ids=["no cookie", "a cookie"])
def test_no_other_account_answers_for_one_that_is_down(sealing, clients, kept):
    """A cookie must not move the session either: the answer would be a 200 with a failure in it."""
    fields = {**OWN, "keyed_cookies": kept, "cookie": {"secure": False, "name": "pin"}}
    sealing.update(**fields)
    jar = {"cookies": http.cookiejar.CookieJar()} if kept else {}
    everybody = [clients(1, **jar)[0] for _ in range(6)] if not kept else clients(1, **jar)
    made = []
    for each in everybody:
        made.append((each, upload(each, "all about cats"), each.say("One.")[0], each.account))
    down = made[0][3]
    sealing.update(**fields, down=[down])
    for each, file, id, account in made:
        for send in (
            lambda each=each, file=file: each.api.vector_stores.create(name="v", file_ids=[file]),
            lambda each=each, file=file: each.api.files.content(file),
            lambda each=each, id=id: each.say("More.", previous_response_id=id),
            lambda each=each, id=id: each.say("More.", stream=True, previous_response_id=id),
        ):
            if account == down:
                with pytest.raises(openai.APIStatusError) as refused:
                    send()
                assert code(refused.value) == (503, "session_unavailable")
            else:
                send()
    sealing.update(**fields)
    for each, file, id, account in made:
        store = each.api.vector_stores.create(name="v", file_ids=[file]).id
        assert settle(each, store).completed == 1
        assert each.say("More.", stream=True, previous_response_id=id)[1] == 2
        assert each.account == account


def test_files_of_two_accounts_conflict(sealing, clients):
    """A client with files on two accounts gets a refusal that names its fields."""
    sealing.update(sealed_ids="seal", session=None)
    (each,) = clients(1)
    files = {}
    while len(files) < 2:
        file = upload(each, "all about cats")
        files.setdefault(each.account, file)
    with pytest.raises(openai.BadRequestError) as refused:
        each.api.vector_stores.create(name="v", file_ids=list(files.values()))
    assert refused.value.code == "conflicting_accounts"
    assert "file_ids" in str(refused.value)
