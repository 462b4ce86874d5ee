"""The price of sealed ids in a real Envoy: requests with bodies, and streams of events.

Uses the gateway of gateways.py: one Envoy with a listener for each chain of filters, loaded in
another order in every round. The processor time of the whole process scatters more than the effect,
so a stop watch around each hook of the filter (timed.cc) reports the time inside the hooks too.
"""

import argparse
import asyncio
import http.client
import json
import mmap
import multiprocessing
import os
import pathlib
import random
import resource
import secrets
import socket
import statistics
import struct
import subprocess
import sys
import time

import figures
from gateways import (
    HTTP,
    LOOPBACK,
    PATIENCE,
    TARGET,
    Envoy,
    bootstrap,
    gateway,
    module_filter,
    tokenpin_filter,
)

EVENTS = 200  # of a stream that is measured
GAP = 0.001  # seconds between two of its events
MANY = 1000  # streams at the same time, for memory
LONG = 64 << 20  # bytes of one long stream
RESPONSE_ID = f"resp_{secrets.token_hex(24)}"
ITEM_ID = f"msg_{secrets.token_hex(24)}"
SAMPLES = 1 << 16  # of a hook in the file of times
HOOKS = 11

NONE, OFF, SEAL = "no filter", "tokenpin, ids off", "tokenpin, seal"
FLOOR, LUA = "only the calls into Envoy", "Lua that finds an id"
# The minimum of a filter that looks for ids: it reads the body, and searches in it.
FINDER = """
function envoy_on_request(handle)
  local body = handle:body()
  if body then string.find(body:getBytes(0, body:length()), '"previous_response_id"', 1, true) end
end
function envoy_on_response(handle)
  for chunk in handle:bodyChunks() do
    string.find(chunk:getBytes(0, chunk:length()), '"id"', 1, true)
  end
end
"""


def lua_filter():
    source = {"@type": f"{HTTP}.lua.v3.Lua", "default_source_code": {"inline_string": FINDER}}
    return {"name": "envoy.filters.http.lua", "typed_config": source}


def timed_filter(**fields):
    filter_ = tokenpin_filter(**fields)
    settings = filter_["typed_config"]["filter_config"]["value"]
    return module_filter("tokenpin_timed", settings)


CHAINS = {
    NONE: [],
    OFF: [tokenpin_filter()],
    SEAL: [tokenpin_filter(sealed_ids="seal")],
    FLOOR: [module_filter("callbacks", {})],
    LUA: [lua_filter()],
}
TIMED = {
    OFF: [timed_filter()],
    SEAL: [timed_filter(sealed_ids="seal")],
    FLOOR: [module_filter("callbacks_timed", {})],
}


def item(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": ITEM_ID, "type": "message", "role": "assistant", "status": "completed", "content": content}


def answer():
    """A response of a kilobyte."""
    fields = {"object": "response", "status": "completed", "model": "m", "metadata": {}, "tools": []}
    return {"id": RESPONSE_ID, **fields, "output": [item("word " * 160)]}


def events(count):
    """Returns the parts of a stream. All but the first and last have one id and some text."""
    response = {key: value for key, value in answer().items() if key != "output"}
    for number in range(count):
        if number in (0, count - 1):
            kind, fields = "response.created" if number == 0 else "response.completed", {"response": response}
        else:
            kind = "response.output_text.delta"
            fields = {"item_id": ITEM_ID, "output_index": 0, "content_index": 0, "delta": " word", "logprobs": []}
            fields |= {"obfuscation": "x" * 60}
        yield {"type": kind, "sequence_number": number, **fields}


def chunk(event):
    """An event as it is sent, with the time of sending."""
    text = json.dumps({**event, "sent": time.monotonic_ns()})
    data = f"event: {event['type']}\ndata: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve_stream(reader, writer):
    """Answers by the path: /v1/responses?COUNT,GAP,SIZE."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            count, gap, size = head.split(b" ")[1].partition(b"?")[2].split(b",")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            made = list(events(int(count)))
            if int(size):
                block = chunk(made[1]) * 64
                for _ in range(int(size) // len(block)):
                    writer.write(block)
                    await writer.drain()
            for event in made:
                writer.write(chunk(event))
                await asyncio.sleep(float(gap))
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def serve(told):
    async def run():
        server = await asyncio.start_server(serve_stream, LOOPBACK, 0, backlog=2 * MANY)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def request(count, gap, size=0):
    """The bytes of one stream on the wire."""
    body = json.dumps({"model": "m", "input": "Hello.", "stream": True}).encode()
    head = f"POST {TARGET}?{count},{gap},{size} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer sk-client\r\n"
    head += f"x-consumer: alice\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def follow(port, count, gap, size=0):
    """One stream: the delays of its first and its last event, in microseconds."""
    with socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request(count, gap, size))
        came, tail = [], b""
        while True:
            data = connection.recv(1 << 16)
            now = time.monotonic_ns()
            if not data:
                raise RuntimeError(f"a stream broke off: {tail}")
            tail = (tail + data)[-4096:]
            if b'"sent": ' in data and (not came or b"response.completed" in tail):
                came.append((now - int(tail.rpartition(b'"sent": ')[2].partition(b"}")[0])) / 1000)
            if tail.endswith(b"\r\n0\r\n\r\n"):
                return came[0], came[-1]


async def at_once(port, streams, count, gap, opened=None):
    """Reads streams at the same time, each to its end. Calls `opened` when all have begun."""
    begun = 0

    async def one():
        nonlocal begun
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(request(count, gap))
        data = await reader.read(1 << 16)
        begun += 1
        if begun == streams and opened:
            opened()
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-8:] + await reader.read(1 << 16)
        writer.close()

    await asyncio.wait_for(asyncio.gather(*(one() for _ in range(streams))), 120)


class Hooks:
    """The measurements of the stop watch."""

    SIZE = 8 + 4 * SAMPLES

    def __init__(self, path):
        with path.open("rb") as file:
            self.memory = mmap.mmap(file.fileno(), self.SIZE * HOOKS, prot=mmap.PROT_READ)

    def calls(self):
        return [struct.unpack_from("<Q", self.memory, self.SIZE * hook)[0] for hook in range(HOOKS)]

    def microseconds(self, before):
        """Returns the time in the hooks since then. It uses the median of each hook, because a hook
        that loses the processor meanwhile has not spent more of it."""
        total = 0
        for hook, (then, now) in enumerate(zip(before, self.calls(), strict=True)):
            last = range(max(then, now - SAMPLES), now)
            at = [self.SIZE * hook + 8 + 4 * (each % SAMPLES) for each in last]
            spent = [struct.unpack_from("<I", self.memory, place)[0] for place in at]
            total += (now - then) * statistics.median(spent) / 1000 if spent else 0
        return total


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.times = arguments.folder / "times"
        self.secrets = {
            "TOKENPIN_PLACEMENT_KEY": os.urandom(16).hex(),
            "TOKENPIN_COOKIE_KEY": os.urandom(16).hex(),
            "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(arguments.modules.resolve()),
            "TOKENPIN_TIMES": str(self.times.resolve()),
        }
        self.running = []
        self.order = random.Random(arguments.seed)
        told, tell = multiprocessing.Pipe()
        self.streams = multiprocessing.Process(target=serve, args=[tell], daemon=True)
        self.streams.start()
        self.stream_port = told.recv()
        body = {"inline_string": json.dumps(answer())}
        kind = {"header": {"key": "content-type", "value": "application/json"}}
        kind["append_action"] = "OVERWRITE_IF_EXISTS_OR_ADD"
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}}
        route["response_headers_to_add"] = [kind]
        self.origin = self.start("origin", bootstrap({"upstream": []}, route, []))

    def start(self, name, configuration):
        made = Envoy(self.arguments.folder / name, configuration, 1, self.secrets)
        self.running.append(made)
        return made

    def front(self, name, chains, port):
        configuration = gateway(chains, port)
        (cluster,) = configuration["static_resources"]["clusters"]
        limits = {"max_connections": 4 * MANY, "max_pending_requests": 4 * MANY, "max_requests": 4 * MANY}
        cluster["circuit_breakers"] = {"thresholds": [limits]}
        return self.start(name, configuration)

    def close(self):
        for each in self.running:
            each.stop()
        self.streams.terminate()

    def rounds(self, name, front, work):
        """Returns for each listener the processor time of the process for each unit of `work`."""
        spent = {chain: [] for chain in front.ports}
        for port in front.ports.values():
            work(port)  # warms connections and pages
        for number in range(self.arguments.runs):
            chains = list(front.ports)
            self.order.shuffle(chains)
            for chain in chains:
                before = front.cpu_seconds()
                count = work(front.ports[chain])
                spent[chain].append((front.cpu_seconds() - before) / count * 1e6)
            print(f"{name}: round {number + 1} of {self.arguments.runs}", file=sys.stderr)
        return spent

    def in_hooks(self, name, port, work):
        """The same, inside the hooks only."""
        found = {}
        for chain, filters in TIMED.items():
            front = self.front(f"{name}, {chain}, timed", {"timed": filters}, port)
            hooks = Hooks(self.times)
            work(front.ports["timed"])
            each = []
            for _ in range(self.arguments.runs):
                before = hooks.calls()
                count = work(front.ports["timed"])
                each.append(hooks.microseconds(before) / count)
            found[chain] = statistics.median(each)
            front.stop()
            self.running.remove(front)
        return found

    def compare(self, name, port, work):
        front = self.front(name, CHAINS, port)
        spent = self.rounds(name, front, work)
        front.stop()
        self.running.remove(front)
        return {"spent": spent, "hooks": self.in_hooks(name, port, work)}

    def requests(self, size):
        """Requests of `size` bytes that continue from a sealed response."""
        port = self.origin.ports["upstream"]
        front = self.front(f"seal {size}", {SEAL: CHAINS[SEAL]}, port)
        sealed = json.loads(post(front.ports[SEAL], b"{}"))["id"]
        if not sealed.endswith("tp1"):
            raise RuntimeError(f"no sealed id: {sealed}")
        front.stop()
        self.running.remove(front)
        message = {"role": "user", "content": "word " * 40}
        document = {"model": "m", "input": [], "previous_response_id": sealed}
        while len(json.dumps(document)) < size - len(json.dumps(message)):
            document["input"].append(message)
        document["instructions"] = "x" * max(0, size - len(json.dumps({**document, "instructions": ""})))
        script = self.arguments.folder / f"post-{size}.lua"
        quoted = json.dumps(document).replace("'", "\\'")
        script.write_text(
            "wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\n"
            f"wrk.headers['x-consumer'] = 'alice'\nwrk.body = '{quoted}'\n"
        )

        def work(port):
            command = ["wrk", "--threads", "1", "--connections", "8", "--script", script]
            command += ["--duration", f"{self.arguments.seconds}s", f"http://{LOOPBACK}:{port}{TARGET}"]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            if "Non-2xx" in text or "Socket errors" in text:
                raise RuntimeError(f"requests failed:\n{text}")
            return int(text.partition(" requests in")[0].split()[-1])

        return self.compare(f"requests of {size} bytes", port, work)

    def streamed(self, together):
        def work(port):
            for _ in range(10 // together):
                asyncio.run(at_once(port, together, EVENTS, GAP))
            return 10

        return self.compare(f"streams, {together} at a time", self.stream_port, work)

    def latency(self):
        """The delays of the first and the last event, in microseconds."""
        front = self.front("latency", CHAINS, self.stream_port)
        found = {chain: [] for chain in CHAINS}
        for _ in range(40 * self.arguments.runs):
            chains = list(CHAINS)
            self.order.shuffle(chains)
            for chain in chains:
                found[chain].append(follow(front.ports[chain], 5, GAP))
        front.stop()
        self.running.remove(front)
        return {chain: [statistics.median(each) for each in zip(*pairs, strict=True)] for chain, pairs in found.items()}

    def memory(self):
        """Returns the kilobytes of each of many streams at the same time, and the additional
        megabytes of one that is four times as long."""
        found = {}
        for chain, filters in CHAINS.items():
            front = self.front(f"memory, {chain}", {chain: filters}, self.stream_port)
            port = front.ports[chain]
            follow(port, 5, GAP)
            before, most = resident(front), []
            asyncio.run(at_once(port, MANY, 4, 2, lambda front=front, most=most: most.append(resident(front))))
            many = (most[0] - before) / MANY
            follow(port, 5, GAP, LONG // 4)
            before = resident(front, "VmHWM")
            follow(port, 5, GAP, LONG)
            found[chain] = [many, (resident(front, "VmHWM") - before) / 1024]
            front.stop()
            self.running.remove(front)
        return found


def resident(front, what="VmRSS"):
    """The memory in kilobytes. VmHWM is its maximum."""
    text = pathlib.Path(f"/proc/{front.child.pid}/status").read_text()
    return int(text.partition(f"{what}:")[2].split()[0])


def post(port, body):
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
    headers = {"content-type": "application/json", "x-consumer": "alice"}
    connection.request("POST", TARGET, body=body, headers=headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"a gateway answers {response.status}: {text}")
    return text


def price_rows(results):
    for name, result in results.items():
        base = statistics.median(result["spent"][NONE])
        for chain, spent in result["spent"].items():
            pairs = zip(spent, result["spent"][NONE], strict=True)
            ratios = [each / none - 1 for each, none in pairs]
            over = f"{statistics.median(ratios):+.0%} ({min(ratios):+.0%} to {max(ratios):+.0%})"
            hooks = result["hooks"].get(chain)
            inside = ["", ""] if hooks is None else [figures.number(hooks), f"{hooks / base:.1%}"]
            over = "" if chain == NONE else over
            yield [f"{name}: {chain}", figures.number(statistics.median(spent)), over, *inside]


def target_rows(results, latency, memory):
    def row(name, wanted, limit, value, text):
        return [name, wanted, text, "yes" if value <= limit else "no"]

    for name, limit in (("requests of 16 KB", 0.06), ("streams of 200 events", 0.05)):
        share = results[name]["hooks"][SEAL] / statistics.median(results[name]["spent"][NONE])
        what = f"{name}: in the hooks, of no filter's processor time"
        yield row(what, f"≤ {limit:.0%}", limit, share, f"{share:.1%}")
    later = latency[SEAL][0] - latency[NONE][0]
    yield row("the first event, µs later than with no filter", "< 50", 50, later, f"{later:.0f}")
    more = memory[SEAL][1]
    yield row("a stream of 64 MB, MB more than one of 16 MB", "≤ 1", 1, more, f"{more:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=pathlib.Path, required=True, help="folder of the libraries")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for logs and results")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=1, help="of one run of requests")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--document", type=pathlib.Path, help="gets the tables")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8 * MANY)), hard))
    bench = Bench(arguments)
    try:
        results = {
            "requests of 0.5 KB": bench.requests(512),
            "requests of 16 KB": bench.requests(16 << 10),
            "streams of 200 events": bench.streamed(1),
            "the same, 10 at a time": bench.streamed(10),
        }
        latency, memory = bench.latency(), bench.memory()
    finally:
        bench.close()
    (arguments.folder / "results.json").write_text(json.dumps([results, latency, memory], indent=1))
    header = ["", "CPU µs each", "over no filter's", "in the hooks, µs", "of no filter's"]
    text = figures.table(header, list(price_rows(results)))
    header = ["streams", "first event, µs", "last event, µs", f"KB of each of {MANY}"]
    header.append("MB more for one of 64 MB than of 16 MB")
    rows = [[chain, *map(figures.number, [*latency[chain], *memory[chain]])] for chain in CHAINS]
    text += "\n\n" + figures.table(header, rows)
    header = ["target", "wanted", "measured", "reached"]
    text += "\n\n" + figures.table(header, list(target_rows(results, latency, memory)))
    print(text)
    if arguments.document:
        figures.put_section(arguments.document, "bodies", text)


if __name__ == "__main__":
    main()
