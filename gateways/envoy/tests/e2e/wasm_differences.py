"""What the filter for proxy-wasm does otherwise than the dynamic module, test by test.

With TOKENPIN_FILTER=wasm each of these tests must fail: one that passes is to be taken off the list.
All other tests hold for both filters.
"""

NO_RETRY = "retries are the router's: a WebAssembly filter cannot begin a request again. `retry` is refused"
NO_FILES = "a WebAssembly VM reads no files. `file` and `state_file` are refused"
NO_UPGRADE = "a WebSocket that the listener does not take never reaches the filter, and stays Envoy's own 403"
NO_ROUTES = "a route's configuration stands in the filter's own, under the route's name"
ALWAYS_CLEARS = "Envoy chooses the route again whenever a WebAssembly filter has changed a request's headers"
NO_REWRITE = (
    "of a request without a body, the host a route rewrites is not seen: the token has to set `:authority`"
)
OTHER_NAMES = "metrics stand under `wasmcustom` and the plugin's name"
FEWER_METRICS = "what cannot happen is not counted: retries, and all that is read from files"
OTHER_README = "it is the module's README. That of the filter for proxy-wasm has tests of its own"

DIFFERENT = {}


def differences(reason, file, *tests):
    for test in tests:
        DIFFERENT[f"{file}::{test}"] = reason


def reason_for(item):
    """Why a test is on the list, with its parameters or without; None if it is not."""
    name = f"{item.path.name}::{item.name}"
    return DIFFERENT.get(name) or DIFFERENT.get(name.partition("[")[0])
