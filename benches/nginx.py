"""The price of the Lua module in a real nginx, compared with no Lua, and with a line of Lua that
sets a header.

One nginx with one worker has a port for each, in front of an nginx that answers by itself. wrk
loads one port after another, in another order in every round. The report has the worker's processor
time for a request: medians over the rounds, and of the differences within each.
"""

import argparse
import json
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import sys
import time

import figures

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "gateways" / "nginx" / "tests"))
sys.path.append(str(ROOT / "gateways" / "envoy" / "tests" / "harness"))

from server import HEAD, MODULES, PATHS, free_ports  # noqa: E402

LOOPBACK = "127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")
ENVIRONMENT = {"PLACEMENT_KEY": "10" * 16, "COOKIE_KEY": "11" * 16}
BODY = json.dumps({"id": "resp_" + "0" * 48, "object": "response", "output": [], "text": "x" * 400})
ASKED = json.dumps({"model": "m", "input": "x" * 400})

PHASES = """
    rewrite_by_lua_block {{ require("resty.tokenpin").request("{0}") }}
    header_filter_by_lua_block {{ require("resty.tokenpin").header_filter() }}
    body_filter_by_lua_block {{ require("resty.tokenpin").body_filter() }}
    log_by_lua_block {{ require("resty.tokenpin").log() }}
"""
PLAIN = 'rewrite_by_lua_block { ngx.req.set_header("Authorization", "Bearer sk-plain") }'

# By name: the location's lines, its gateway's configuration if it has one, the clients' headers.
CONSUMER = ["X-Consumer: alice"]
WAYS = {
    "no Lua": ("", None, []),
    "Lua that sets a header": (PLAIN, None, []),
    "tokenpin, a consumer": (PHASES.format("plain"), None, CONSUMER),
    "tokenpin, a new session": (PHASES.format("plain"), None, []),
    "tokenpin, its cookie": (PHASES.format("plain"), "cookie", []),
    "tokenpin, ids sealed": (PHASES.format("sealed"), None, CONSUMER),
}


def settings(**fields):
    tokens = [
        {"name": f"account-{n}", "headers": [{"name": "authorization", "prefix": "Bearer ", "value": f"sk-{n:032}"}]}
        for n in range(4)
    ]
    return {
        "placement_key": {"env": "PLACEMENT_KEY"},
        "cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "COOKIE_KEY"}}],
        "consumer": {"header": "x-consumer", "trusted": True},
        "tokens": tokens,
        **fields,
    }


def configuration(folder, build, ports, upstream_port):
    servers = "".join(
        f"""server {{
            listen {LOOPBACK}:{port};
            location / {{ {lines} proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        }}\n"""
        for port, (lines, *_) in zip(ports, WAYS.values(), strict=True)
    )
    head = HEAD.format(folder=folder, modules=MODULES, workers=1, main="")
    return f"""{head}
    http {{
        {PATHS.format(root=ROOT, build=build)}
        keepalive_requests 1000000000;
        lua_shared_dict tokenpin 1m;
        map "" $tokenpin {{ default ""; }}
        log_format kept $tokenpin;
        init_by_lua_block {{
            require("resty.tokenpin").setup("{folder}/plain.json", "plain")
            require("resty.tokenpin").setup("{folder}/sealed.json", "sealed")
        }}
        init_worker_by_lua_block {{ require("resty.tokenpin").init_worker() }}
        upstream upstream {{ server {LOOPBACK}:{upstream_port}; keepalive 64; keepalive_requests 1000000000; }}
        {servers}
    }}"""


def upstream_configuration(folder, build, port):
    head = HEAD.format(folder=folder, modules=MODULES, workers=1, main="")
    return f"""{head}
    http {{
        {PATHS.format(root=ROOT, build=build)}
        keepalive_requests 1000000000;
        server {{ listen {LOOPBACK}:{port}; default_type application/json; location / {{ return 200 '{BODY}'; }} }}
    }}"""


class Nginx:
    def __init__(self, folder, text):
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        (folder / "nginx.conf").write_text(text)
        command = ["/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf"]
        self.process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT})

    def worker(self):
        pid = self.process.pid
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]

    def seconds(self):
        """The worker's processor time."""
        fields = pathlib.Path(f"/proc/{self.worker()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def wait_for(port):
    for _ in range(200):
        try:
            return socket.create_connection((LOOPBACK, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError(port)


def cookie_of(port):
    """The cookie that a first request gets."""
    with socket.create_connection((LOOPBACK, port)) as connection:
        connection.sendall(
            b"POST /v1/responses HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return "Cookie: " + re.search(r"(?im)^set-cookie: ([^;]+)", text)[1]


def load(folder, port, headers, seconds):
    """Returns the number of wrk's requests that were answered with success."""
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = [[{ASKED}]]\nwrk.headers['Content-Type'] = 'application/json'\n"
    )
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", script, f"http://{LOOPBACK}:{port}/v1/responses"]
    for header in headers:
        command[1:1] = ["-H", header]
    text = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    return int(re.search(r"(\d+) requests in", text)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--document", type=pathlib.Path)
    arguments = parser.parse_args()
    folder, build = arguments.folder.resolve(), arguments.build.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plain.json").write_text(json.dumps(settings()))
    (folder / "sealed.json").write_text(json.dumps(settings(sealed_ids="seal")))
    upstream_port, *ports = free_ports(1 + len(WAYS))
    upstream = Nginx(folder / "upstream", upstream_configuration(folder / "upstream", build, upstream_port))
    (folder / "gateway").mkdir(exist_ok=True)
    gateway = Nginx(folder / "gateway", configuration(folder, build, ports, upstream_port))
    try:
        for port in [upstream_port, *ports]:
            wait_for(port)
        cookie = cookie_of(ports[list(WAYS).index("tokenpin, its cookie")])
        found = {name: [] for name in WAYS}
        for run in range(arguments.runs + 1):
            for name in random.sample(list(WAYS), len(WAYS)):
                _, wants_cookie, headers = WAYS[name]
                before = gateway.seconds()
                sent = [cookie] if wants_cookie else headers
                requests = load(folder, ports[list(WAYS).index(name)], sent, arguments.seconds)
                # The first round warms up.
                if run != 0:
                    micros = 1e6 * (gateway.seconds() - before) / requests
                    found[name].append((micros, requests / arguments.seconds))
    finally:
        gateway.stop()
        upstream.stop()
    rows = []
    for name, runs in found.items():
        over = [
            [mine - theirs for (mine, _), (theirs, _) in zip(runs, found[base], strict=True)]
            for base in ("no Lua", "Lua that sets a header")
        ]
        rows.append(
            [
                name,
                figures.number(statistics.median(micros for micros, _ in runs)),
                *[f"{statistics.median(each):+.1f} ({min(each):+.1f} to {max(each):+.1f})" for each in over],
                figures.number(statistics.median(rate for _, rate in runs)),
            ]
        )
    header = ["", "CPU µs a request", "over no Lua", "over Lua that sets a header", "requests/s"]
    text = figures.table(header, rows)
    print(text)
    if arguments.document:
        figures.put_section(arguments.document, "nginx", text)


if __name__ == "__main__":
    main()
