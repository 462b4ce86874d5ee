import pathlib
import shutil

import pytest
from as_envoy import NginxGateway
from gateway import leaks, settings


def pytest_addoption(parser):
    parser.addoption("--build-dir", type=pathlib.Path, default=pathlib.Path("build"))


@pytest.fixture(scope="session")
def run(request):
    """The folder of a run, and what was built."""
    build = request.config.getoption("--build-dir").resolve()
    path = build / "nginx"
    shutil.rmtree(path, ignore_errors=True)
    yield path, build
    found = list(leaks(path))
    assert not found, "logs hold secrets:\n" + "\n".join(found)


@pytest.fixture
def folder(run, request):
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in request.node.name)
    path = run[0] / name[:80]
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def gateway(run, folder):
    """Starts a gateway: `gateway(settings(...), server="...")`, where words name parts of its
    nginx.conf. Each must be alive at the end of the test, and no Lua may have failed."""
    made = []

    def start(fields=None, environment=None, **parts):
        g = NginxGateway(folder / f"gateway-{len(made) + 1}", run[1] / "envoy", environment)
        made.append(g)
        g.configure()
        g.envoy.parts |= parts
        g.start(settings() if fields is None else fields)
        return g

    yield start
    for g in made:
        if g.envoy.process:
            assert g.alive(), f"nginx ended by itself: {g.folder}"
        log = g.envoy.log()
        g.close()
        assert "exited on signal" not in log and "runtime error" not in log, log
