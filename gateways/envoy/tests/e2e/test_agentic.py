"""A real server of responses and conversations, agentic-api, as three accounts.

The clients have no cookie and no name. The server answers 404 for a response that it does not have.
With a conversation that it does not have, it continues without an error: only the number of
messages that the model got shows the loss.
"""

import http.cookiejar

import openai
import pytest
from gateway import ACCOUNTS, SESSION, cookie_keys
from real import NATIVE, SEALED, World, code, told

pytestmark = pytest.mark.agentic

CLIENTS = 9  # so that all accounts have clients, except in one run of ten
TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]


@pytest.fixture(scope="module")
def world(run):
    made = World("agentic", run.build, run.folder / "agentic")
    yield made
    made.close()


@pytest.fixture
def sealing(world):
    """The world with sealed ids. No server may see a sealed id, and no client a native one."""
    world.update(sealed_ids="seal")
    yield world
    assert world.model.refused() == []


@pytest.fixture
def clients(sealing):
    made = []

    def make(count=CLIENTS, **options):
        new = [sealing.client(**options) for _ in range(count)]
        made.extend(new)
        return new

    yield make
    for each in made:
        each.close()
        native = {id for text in each.texts for id in NATIVE.findall(text)}
        assert not native, f"ids that are not sealed: {native}"


def spread(clients):
    """Checks that the clients are on several accounts: otherwise nothing could be lost."""
    assert len({each.account for each in clients}) > 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_chain_of_responses_goes_on(clients, stream):
    everybody = clients()
    last = {each: each.say("One.", stream=stream)[0] for each in everybody}
    home = {each: each.account for each in everybody}
    spread(everybody)
    for turn in (2, 3, 4):
        for each in everybody:
            id, number, _ = each.say("More.", stream=stream, previous_response_id=last[each])
            assert (number, each.account) == (turn, home[each])
            found = each.api.responses.retrieve(id)
            assert (found.id, found.previous_response_id) == (id, last[each])
            assert told(found) == turn
            last[each] = id


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_conversation_goes_on(clients, stream):
    everybody = clients()
    begun = {each: each.api.conversations.create().id for each in everybody}
    spread(everybody)
    for turn in (1, 2, 3):
        for each, id in begun.items():
            assert each.say("More.", stream=stream, conversation=id)[1] == turn
            assert each.api.conversations.retrieve(id).id == id
    for each, id in begun.items():
        each.api.conversations.delete(id)
        with pytest.raises(openai.NotFoundError):
            each.api.conversations.retrieve(id)


def test_pages_of_items(clients):
    for each in clients(3):
        id = each.api.conversations.create().id
        for _ in range(3):
            each.say("More.", conversation=id)
        whole = [item.id for item in each.api.conversations.items.list(id, limit=100)]
        paged = [item.id for item in each.api.conversations.items.list(id, limit=2)]
        assert len(set(whole)) == 6 and paged == whole
        for item in whole:
            assert SEALED.fullmatch(item)
            found = each.api.conversations.items.retrieve(item, conversation_id=id)
            assert found.id == item


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_function_is_called(clients, stream):
    """The id of the call belongs to client and model: it stays unchanged."""
    for each in clients(4):
        id, _, output = each.say("call weather", stream=stream, tools=TOOLS)
        (call,) = output
        assert call.call_id.startswith("call_") and not SEALED.fullmatch(call.call_id)
        answer = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
        assert each.say([answer], stream=stream, previous_response_id=id)[1] == 1


def test_history_that_the_client_carries(clients):
    """The client sends all items with their ids, and no response id: the model sees its own ids."""
    for each in clients(4):
        history = []
        for turn in (1, 2, 3):
            history.append({"role": "user", "content": "More."})
            _, number, output = each.say(history, stream=turn == 2, store=False)
            assert number == turn
            history += [item.model_dump(exclude_none=True) for item in output]
            assert all(SEALED.fullmatch(item["id"]) for item in history if "id" in item)


def test_a_text_that_looks_like_an_id(clients):
    """A prompt is text, even if all of it is an id."""
    (each,) = clients(1)
    sealed = each.say("One.")[0]
    id = each.api.conversations.create().id
    for prompt in (sealed, f"What is {sealed}?", '{"previous_response_id":"%s"}' % sealed):
        each.say(prompt, conversation=id)
        (item,) = each.api.conversations.items.list(id, limit=2).data[1:]
        assert item.content[0].text == prompt


def test_an_account_that_is_down_keeps_its_sessions(sealing, clients):
    """They get a refusal from no other account. New sessions begin elsewhere, and stay there."""
    everybody = clients()
    chains = {each: each.say("One.")[0] for each in everybody}
    talks = {each: each.api.conversations.create().id for each in everybody}
    where = {}
    for each, id in talks.items():
        each.say("One.", conversation=id)
        where[id] = each.account
    for each, id in chains.items():
        each.api.responses.retrieve(id)
        where[id] = each.account
    down = where[chains[everybody[0]]]
    sealing.update(sealed_ids="seal", down=[down])

    def ask(each, turn, stream=False):
        yield chains[each], lambda: each.say("More.", stream, previous_response_id=chains[each])[1]
        yield chains[each], lambda: told(each.api.responses.retrieve(chains[each])) + turn - 1
        yield talks[each], lambda: each.say("More.", stream, conversation=talks[each])[1]

    for each in everybody:
        for stream in (False, True):
            for id, send in ask(each, 2, stream):
                if where[id] == down:
                    with pytest.raises(openai.APIStatusError) as refused:
                        send()
                    assert code(refused.value) == (503, "session_unavailable")
                elif id != talks[each] or not stream:
                    assert send() == 2
    begun = {each: each.say("One.")[0] for each in everybody}
    assert down not in {each.account for each in everybody}
    elsewhere = {each: each.account for each in everybody}
    sealing.update(sealed_ids="seal")
    for each in everybody:
        for id, send in ask(each, 2):
            assert send() == (3 if id == talks[each] and where[id] != down else 2)
        assert each.say("More.", previous_response_id=begun[each])[1] == 2
        assert each.account == elsewhere[each]


def test_another_account_takes_nobody(sealing, clients):
    """Named sessions without a cookie follow old ids to the old account, and begin on the new."""
    sealing.update(sealed_ids="seal", accounts=ACCOUNTS[:2])
    named = [clients(1, headers={SESSION: f"session-{n}"})[0] for n in range(24)]
    old = {each: (each.say("One.")[0], each.account) for each in named}
    sealing.update(sealed_ids="seal")
    new = {each: (each.say("One.")[0], each.account) for each in named}
    assert ACCOUNTS[2] in {account for _, account in new.values()}
    for began in (old, new, old):
        for each, (id, account) in began.items():
            assert each.say("More.", previous_response_id=id)[1] == 2
            assert each.account == account


def test_ids_that_nobody_made(clients):
    """Every wrong id gets the same answer, with the code by which clients begin again."""
    (each,) = clients(1)
    id = each.say("One.")[0]
    talk = each.api.conversations.create().id

    def spoilt(text):
        flipped = "A" if text[20] != "A" else "B"
        return f"{text[:20]}{flipped}{text[21:]}"

    with pytest.raises(openai.BadRequestError) as refused:
        each.say("More.", previous_response_id=spoilt(id))
    assert refused.value.code == "previous_response_not_found"
    assert refused.value.param == "previous_response_id"
    for send in (
        lambda: each.api.responses.retrieve(spoilt(id)),
        lambda: each.api.conversations.retrieve(spoilt(talk)),
        lambda: each.say("More.", conversation=spoilt(talk)),
        lambda: each.say("More.", stream=True, conversation=spoilt(talk)),
    ):
        with pytest.raises(openai.NotFoundError):
            send()
    assert each.say("More.", previous_response_id=id)[1] == 2


def test_sealing_is_rolled_out_and_back(world):
    """Each step runs on the sessions of all earlier steps. Cookies hold the first sessions."""
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(secure_protocols=("http",)))
    world.update(sealed_ids="off", cookie={"secure": False, "name": "pin"})
    begun = []  # (client, id, the mode in which it began)
    try:
        for mode in ("off", "open", "seal", "strict", "open"):
            world.update(sealed_ids=mode, cookie={"secure": False, "name": "pin"})
            cookies = jar if mode == "off" else None
            each = world.client(cookies=cookies)
            id = each.say("One.")[0]
            begun.append((each, id, mode))
            assert bool(SEALED.fullmatch(id)) == (mode in ("seal", "strict"))
            for old, id, origin in begun:
                plain = not SEALED.fullmatch(id)
                if plain and mode == "strict":
                    with pytest.raises(openai.BadRequestError) as refused:
                        old.say("More.", previous_response_id=id)
                    assert refused.value.code == "previous_response_not_found"
                elif origin != "open":
                    found = old.api.responses.retrieve(id)
                    assert found.id == id, "an id comes back as the client knows it"
                    for stream in (False, True):
                        assert old.say("More.", stream, previous_response_id=id)[1] == 2
    finally:
        for each, *_ in begun:
            each.close()


def test_the_key_of_ids_is_rotated_while_they_live(sealing, clients):
    """No id stops working in any step. Ids of the old key come back unchanged."""
    rings = [cookie_keys(sign=1), cookie_keys(sign=1, accept=2), cookie_keys(sign=2, accept=1)]
    begun = []
    for ring in rings:
        sealing.update(sealed_ids="seal", id_keys=ring)
        begun += [(each, each.say("One.")[0]) for each in clients(3)]
        for each, id in begun:
            assert each.api.responses.retrieve(id).id == id
            assert each.say("More.", previous_response_id=id)[1] == 2
    sealing.update(sealed_ids="seal", id_keys=cookie_keys(sign=2))
    for each, id in begun[:6]:
        with pytest.raises(openai.BadRequestError) as refused:
            each.say("More.", previous_response_id=id)
        assert refused.value.code == "previous_response_not_found"
    for each, id in begun[6:]:
        assert each.say("More.", previous_response_id=id)[1] == 2
