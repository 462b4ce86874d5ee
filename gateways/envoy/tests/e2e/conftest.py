import pathlib
import shutil

import pytest
import stack
import wasm_differences
from gateway import Gateway, leaks, settings
from provider import Provider


def pytest_addoption(parser):
    parser.addoption("--build-dir", type=pathlib.Path, default=pathlib.Path("build"))


def pytest_collection_modifyitems(config, items):
    if stack.WASM:
        for item in items:
            if reason := wasm_differences.reason_for(item):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        return
    other = [item for item in items if item.get_closest_marker("wasm")]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in other]


class Run:
    """The state that all tests of a run share."""

    def __init__(self, build):
        self.build = build.resolve()
        self.folder = self.build / "e2e"


@pytest.fixture(scope="session")
def run(request):
    run = Run(request.config.getoption("--build-dir"))
    shutil.rmtree(run.folder, ignore_errors=True)
    yield run
    found = list(leaks(run.folder))
    assert not found, "logs hold secrets:\n" + "\n".join(found)


@pytest.fixture
def folder(run, request):
    """A folder for the files of one test."""
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in request.node.name)
    path = run.folder / request.node.path.stem / name[:80]
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def gateways(run, folder):
    """Makes gateways that are not started. Each must be alive at the end of the test."""
    made = []

    def make(environment=None):
        name = f"gateway-{len(made) + 1}"
        made.append(Gateway(folder / name, run.build / "envoy", environment))
        return made[-1]

    yield make
    ended = [each.folder for each in made if each.envoy.process and not each.alive()]
    for each in made:
        each.close()
    assert not ended, f"Envoy ended by itself: {ended}"


@pytest.fixture
def gateway(gateways):
    """Starts a gateway: `gateway(settings(...), routes=[...], ...)`."""

    def start(fields=None, environment=None, **options):
        made = gateways(environment)
        made.configure(**options)
        made.start(settings() if fields is None else fields)
        return made

    return start


@pytest.fixture
def sealing(gateway):
    """Starts a gateway that seals, with a provider behind it."""

    def start(mode="seal", provider=None, routes=None, environment=None, manager=None, **fields):
        g = gateway(
            settings(sealed_ids=mode, **fields),
            routes=routes,
            environment=environment,
            **(manager or {}),
        )
        g.upstream.answer = g.provider = provider or Provider()
        return g

    return start
