"""Real servers as the accounts of a provider: a gateway in front of three of them.

Each server has its own database, so it does not have the objects of the others. The model behind
them is model.py. The client is the real one.
"""

import json
import os
import re
import socket
import sys

import openai
import stack
from gateway import ACCOUNTS, Gateway, client, credential, route, settings, tokens

PATIENCE = 60  # seconds; ogx starts more processes when the first file comes
MODEL_ID = {"agentic": "model", "ogx": "openai/model"}
SEALED = re.compile(r"[A-Za-z0-9_-]{23,}tp[0-2]")
# The ids of a real server's objects, in any text.
NATIVE = re.compile(r"\b(?:resp_|conv_|msg_|file-|vs_|batch_)[0-9a-f][0-9a-f-]{15,}\b")
TOLD = re.compile(r"I got (\d+) messages\.")

# ogx cuts files into pieces by their number of tokens, with a table that it downloads. Here a byte
# is a token, in all its processes.
OGX_TOKENS = """
import tiktoken
tiktoken.registry.ENCODINGS["cl100k_base"] = tiktoken.Encoding(
    "cl100k_base", pat_str=r"(?s:.)", mergeable_ranks={bytes([b]): b for b in range(256)}, special_tokens={}
)
"""


def agentic(build, folder, port, model):
    command = [build / "agentic/bin/agentic-server", "--llm-api-base", model, "--skip-llm-ready-check"]
    command += ["--gateway-host", stack.LOOPBACK, "--gateway-port", port]
    return [*command, "--db-url", f"sqlite://{folder}/state.db?mode=rwc"]


def ogx(build, folder, port, model):
    def stored(**fields):
        return {"backend": "sql", **fields}

    def provider(kind, **config):
        return [{"provider_id": kind.rpartition(":")[2], "provider_type": kind, "config": config}]

    def registered(name, kind, **metadata):
        id = {"model_id": name, "provider_model_id": name, "provider_id": "openai"}
        return {**id, "model_type": kind, "metadata": metadata}

    files = {"storage_dir": f"{folder}/files", "metadata_store": stored(table_name="files")}
    providers = {
        "batches": provider("inline::reference", sqlstore=stored(table_name="batches")),
        "file_processors": provider("inline::pypdf"),
        "files": provider("inline::localfs", **files),
        "inference": provider("remote::openai", api_key="none", base_url=f"{model}/v1"),
        "responses": provider("inline::builtin", persistence={"responses": stored(table_name="responses")}),
        "tool_runtime": provider("inline::file-search"),
        "vector_io": provider("inline::faiss", persistence={"namespace": "vectors", "backend": "kv"}),
    }
    stores = {name: stored(table_name=name) for name in ("inference", "conversations", "prompts")}
    stores |= {"metadata": {"namespace": "registry", "backend": "kv"}}
    stores |= {"connectors": stored(table_name="connectors")}
    backends = {
        "kv": {"type": "kv_sqlite", "db_path": f"{folder}/kv.db"},
        "sql": {"type": "sql_sqlite", "db_path": f"{folder}/sql.db"},
    }
    models = [registered("model", "llm")]
    models += [registered("embedding", "embedding", embedding_dimension=64)]
    configuration = {
        "version": 2,
        "distro_name": "accounts",
        "apis": list(providers),
        "providers": providers,
        "storage": {"backends": backends, "stores": stores},
        "registered_resources": {"models": models},
        "vector_stores": {
            "default_provider_id": "faiss",
            "default_embedding_model": {"provider_id": "openai", "model_id": "embedding"},
        },
        "server": {"host": stack.LOOPBACK, "port": port},
    }
    # JSON is YAML.
    (folder / "ogx.yaml").write_text(json.dumps(configuration, indent=1))
    (folder / "sitecustomize.py").write_text(OGX_TOKENS)
    return [build / "ogx/bin/ogx", "run", "--insecure", folder / "ogx.yaml"]


def free_port():
    """Returns a port that is free now. These servers cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind((stack.LOOPBACK, 0))
        return probe.getsockname()[1]


COMMANDS = {"agentic": agentic, "ogx": ogx}


class Model:
    """The model behind the servers, as a process."""

    def __init__(self, folder):
        self.log = (folder / "model.log").open("wb")
        model = os.path.join(os.path.dirname(__file__), "model.py")
        command = [sys.executable, "-B", model]
        pipe = {"stdout": -1, "stderr": self.log, "text": True}
        self.process = stack.Process(command, {}, **pipe)
        self.port = int(self.process.child.stdout.readline() or 0)
        assert self.port, "the model did not start"

    def refused(self):
        return json.loads(stack.request(f"{stack.LOOPBACK}:{self.port}", "GET", "/control/refused")[1])

    def close(self):
        self.process.stop()
        self.process.child.stdout.close()
        self.log.close()


class Server:
    """The server of one account."""

    def __init__(self, kind, build, folder, model):
        folder.mkdir()
        self.log_file = folder / "server.log"
        self.host = None
        self.port = free_port()
        command = COMMANDS[kind](build, folder, self.port, f"http://{stack.LOOPBACK}:{model}")
        with self.log_file.open("wb") as log:
            environment = {"HOME": str(folder), "PYTHONPATH": str(folder)}
            self.process = stack.Process(command, environment, stdout=log, stderr=log)

    def wait(self):
        def answers():
            assert self.process.alive(), f"a server ended: {self.log_file.read_text()[-2000:]}"
            try:
                return stack.request(f"{stack.LOOPBACK}:{self.port}", "GET", "/v1/models")[0] == 200
            except OSError:
                return False

        stack.wait_for("a server's start", answers, PATIENCE)

    def stop(self):
        self.process.stop()


class World:
    """The accounts with their gateway, until closed.

    `update` takes fields of the filter's configuration.
    """

    def __init__(self, kind, build, folder):
        self.kind = kind
        folder.mkdir(parents=True)
        self.model = Model(folder)
        self.servers = {name: Server(kind, build, folder / name, self.model.port) for name in ACCOUNTS}
        for server in self.servers.values():
            server.wait()
        self.gateway = Gateway(folder / "gateway", build / "envoy")
        routes, clusters = [], []
        for name, server in self.servers.items():
            match = {"name": "authorization", "string_match": {"exact": f"Bearer {credential(name)}"}}
            # The test learns from it which account answered.
            told = {"header": {"key": "x-account", "value": name}}
            patient = {"timeout": f"{PATIENCE}s"}
            routes.append(route("/", name, [match], route=patient, response_headers_to_add=[told]))
            clusters.append(stack.cluster(name, server.port))
        self.gateway.configure(routes=routes, clusters=clusters)
        self.gateway.start(self.settings())

    def settings(self, accounts=ACCOUNTS, down=(), **fields):
        states = {name: {"state": "down"} for name in down}
        chosen = [{**each, "slot": ACCOUNTS.index(each["name"])} for each in tokens(*accounts, **states)]
        fields = {"tokens": chosen, "capacity": len(ACCOUNTS), "clear_route_cache": True, **fields}
        return settings(**fields)

    def update(self, **fields):
        self.gateway.update(self.settings(**fields))

    def client(self, **options):
        return Client(self, **options)

    def close(self):
        self.gateway.close()
        for server in self.servers.values():
            server.stop()
        self.model.close()


class Client:
    """The real OpenAI client. By default it keeps no cookie and has no name."""

    def __init__(self, world, headers=None, cookies=None, secret="the-gateway-has-the-token"):
        self.world = world
        self.seen = []  # (status, account) of every answer
        self.texts = []  # the answers, except refusals: these quote ids in sentences
        self.http = client(cookies=cookies)
        self.http.timeout = PATIENCE
        self.http.event_hooks["response"].append(self.note)
        self.api = openai.OpenAI(
            api_key=secret,
            base_url=f"{world.gateway.url}/v1",
            default_headers=headers,
            http_client=self.http,
            max_retries=0,  # every failure has to show
            timeout=PATIENCE,
        )

    def note(self, response):
        response.read()
        self.seen.append((response.status_code, response.headers.get("x-account")))
        if response.status_code < 400:
            self.texts.append(response.text)

    @property
    def account(self):
        return self.seen[-1][1]

    def say(self, text, stream=False, **fields):
        """Creates a response. Returns its id, the number of messages that came, and the output."""
        made = self.api.responses.create(model=MODEL_ID[self.world.kind], input=text, stream=stream, **fields)
        if stream:
            events = list(made)
            failed = [event for event in events if event.type in ("error", "response.failed")]
            assert not failed, f"an error in the stream: {failed}"
            made = events[-1].response
            assert events[-1].type == "response.completed"
            assert {made.id} == {e.response.id for e in events if hasattr(e, "response")}
        return made.id, told(made), made.output

    def close(self):
        self.api.close()


def told(response):
    match = TOLD.search(response.output_text)
    return int(match[1]) if match else None


def code(error):
    """The status and the code of a refusal, as a client reads them."""
    body = error.body if isinstance(error.body, dict) else {}
    return error.status_code, body.get("code")
