"""An nginx with the Lua module, as processes on the loopback interface."""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import time
import urllib.request

import stack

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODULES = "/usr/lib/nginx/modules"

# The beginning of every configuration of the tests: its own folder, and the folder of the module.
HEAD = """
daemon off;
user root;
pid nginx.pid;
worker_processes {workers};
worker_shutdown_timeout 20s;
error_log {folder}/nginx.log notice;
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
{main}
events {{ worker_connections 4096; }}
"""

PATHS = """
    lua_package_path "{root}/gateways/nginx/lua/?.lua;{root}/include/?.lua;;";
    lua_package_cpath "{build}/lib/lib?.so;;";
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    access_log off;
"""

# An upstream that is asked by this name.
UPSTREAM = """
    upstream {host} {{
        server 0.0.0.1;
        balancer_by_lua_block {{
            require("resty.tokenpin").balancer()
            require("ngx.balancer").set_current_peer("127.0.0.1", {upstream_port})
        }}
        keepalive 32;
    }}
"""

LOCATION = """
            rewrite_by_lua_block { require("resty.tokenpin").request() }
            proxy_pass http://provider;
"""

SERVER = """
http {{
{paths}
    lua_shared_dict {dict} 1m;
    map "" $tokenpin {{ default ""; }}
    map $proxy_host $tokenpin_upstream {{ default $proxy_host; }}
    init_by_lua_block {{
        {jit}
        require("resty.tokenpin").setup("{folder}/tokenpin.json")
        {init}
    }}
    init_worker_by_lua_block {{ require("resty.tokenpin").init_worker() }}
    {provider}
    large_client_header_buffers 8 128k;
    log_format decision '{log_format}';
    {http}
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{http2_port} http2;
        client_max_body_size {max_body};
        proxy_http_version 1.1;
        proxy_set_header Connection $http_connection_of_upgrade;
        proxy_set_header Upgrade $http_upgrade;
        proxy_buffering off;
        proxy_redirect off;
        proxy_next_upstream http_403 http_404 http_429 http_500 http_502 http_503 http_504 non_idempotent;
        proxy_connect_timeout 2s;
        error_page 413 @too_large;
        header_filter_by_lua_block {{ require("resty.tokenpin").header_filter() }}
        body_filter_by_lua_block {{ require("resty.tokenpin").body_filter() }}
        log_by_lua_block {{ require("resty.tokenpin").log() }}
        {server}
        location / {{
            {location}
        }}
        location @too_large {{
            content_by_lua_block {{ require("resty.tokenpin").too_large() }}
        }}
    }}
    map $http_upgrade $http_connection_of_upgrade {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{metrics_port};
        location = /status {{ stub_status; }}
        location = /metrics {{ content_by_lua_block {{ require("resty.tokenpin").metrics() }} }}
        location = /set {{
            content_by_lua_block {{
                local body = ngx.req.read_body() or ngx.req.get_body_data()
                local json = require "resty.tokenpin.json"
                local wish = json.decode(body)
                local ok, wrong = pcall(require("resty.tokenpin").set_state, wish.token, wish.status)
                ngx.print(ok and "ok" or wrong)
            }}
        }}
    }}
}}
"""


def free_ports(count):
    """Below those that the kernel gives to connections, or one of these might take a port before
    nginx does."""
    limit = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    servers = []
    while len(servers) < count:
        with contextlib.suppress(OSError):
            servers.append(socket.create_server((stack.LOOPBACK, random.randrange(10000, limit))))
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


class Nginx:
    """One nginx whose configuration can be replaced while it runs. What it reads and its log are
    in `folder`."""

    jit = True

    def __init__(self, folder, build, environment):
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = environment
        self.log_file = folder / "nginx.log"
        self.process = None
        self.port, self.http2_port, self.metrics_port = free_ports(3)
        self.parts = {
            "folder": folder,
            "modules": MODULES,
            "workers": 2,
            "main": "",
            "dict": "tokenpin",
            "max_body": "200m",
            "jit": "" if self.jit else "jit.off() jit.flush()",
            "port": self.port,
            "http2_port": self.http2_port,
            "metrics_port": self.metrics_port,
            "log_format": "$tokenpin",
            "paths": PATHS.format(root=ROOT, build=build),
            "location": LOCATION,
            **dict.fromkeys(("init", "http", "server"), ""),
        }

    def write_configuration(self, text=None):
        """The text of nginx.conf; by default that of the tests."""
        if text is None:
            provider = UPSTREAM.format(host="provider", **self.parts)
            text = (HEAD + SERVER).format(provider=provider, **self.parts)
        (self.folder / "nginx.conf").write_text(text)

    def start(self, settings, text=None):
        if settings is not None:
            self.write_settings(settings)
        self.write_configuration(text)
        command = ["/usr/sbin/nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"]
        with (self.folder / "stderr").open("ab") as log:
            self.process = stack.Process(command, self.environment, stdout=log, stderr=log)
        self.wait("starting", lambda: socket.create_connection((stack.LOOPBACK, self.port)).close() is None)
        self.url = f"http://{stack.LOOPBACK}:{self.port}"

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None

    def write_settings(self, settings):
        stack.replace_file(self.folder / "tokenpin.json", json.dumps(settings))

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.child.pid}/task/{self.process.child.pid}/children")
        return set(children.read_text().split())

    def reload(self):
        """Returns once only new workers take connections."""
        start = self.log_file.stat().st_size
        # The master listens before there are any.
        self.wait("its workers", lambda: len(self.workers()) >= self.parts["workers"])
        old = self.workers()
        os.kill(self.process.child.pid, signal.SIGHUP)

        def done():
            text = self.log(start)
            if "[emerg]" in text or "init_by_lua" in text:
                raise stack.Refused(text)
            ended = set(re.findall(r"(\d+)#\d+: gracefully shutting down", self.log()))
            return old <= ended and len(self.workers() - ended) == self.parts["workers"]

        self.wait("a reload", done)

    def update(self, settings):
        """Raises `Refused`, and the old settings stay."""
        self.write_settings(settings)
        self.reload()

    def ask(self, path):
        with urllib.request.urlopen(f"http://{stack.LOOPBACK}:{self.metrics_port}{path}") as response:
            return response.read().decode()

    def ask_to_set(self, *tokens, status=None):
        """Sets the state of tokens in all workers; none takes that back, and cooldowns with it."""
        for token in tokens:
            body = json.dumps({"token": token, "status": status or {}}).encode()
            request = urllib.request.Request(f"http://{stack.LOOPBACK}:{self.metrics_port}/set", data=body)
            with urllib.request.urlopen(request) as response:
                assert response.read() == b"ok"

    def stat(self, name):
        """The number of requests of clients."""
        assert name == "http.gateway.downstream_rq_active", f"only Envoy counts {name}"
        reading, writing = re.search(r"Reading: (\d+) Writing: (\d+)", self.ask("/status")).groups()
        return int(reading) + int(writing) - 1

    def metrics(self, _namespace=None):
        """Of all workers, each of which adds its own four times a second."""
        time.sleep(0.3)
        text = self.ask("/metrics")
        found = re.findall(r'^tokenpin_(\w+)\{gateway="default"\} (\d+)$', text, re.M)
        return {name: int(value) for name, value in found}

    def log(self, start=0):
        return self.log_file.read_bytes()[start:].decode(errors="replace") if self.log_file.exists() else ""

    def wait(self, what, condition):
        def done():
            if not self.process.alive():
                raise stack.Refused(self.log() + (self.folder / "stderr").read_text())
            try:
                return condition()
            except OSError:
                return False

        return stack.wait_for(f"nginx: {what}", done)
