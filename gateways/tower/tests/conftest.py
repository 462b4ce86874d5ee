"""The accounts, and replicas of the gateway in front of them. The environment variable GATEWAY
names its program.
"""

import os
import secrets
import socket
import subprocess
import time

import pytest
from stand import ACCOUNTS, PATIENCE, Upstream


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    provider = server.provider
    server.shutdown()
    server.server_close()
    # No request had an unknown token or our cookie, and each was a request.
    assert (provider.unknown_token, provider.cookie_seen, server.malformed) == (0, 0, [])
    if not server.is_hostile:
        # Nor a sealed id, or another account's.
        assert (provider.sealed_seen, provider.not_found) == ([], 0)


@pytest.fixture
def gateways(upstream):
    """Starts replicas, which share keys."""
    started = []
    environment = {
        **os.environ,
        "PLACEMENT_KEY": secrets.token_hex(16),
        "COOKIE_KEY": secrets.token_hex(16),
        "ACCOUNTS": " ".join(f"{name}=sk-{name}" for name in ACCOUNTS),
    }

    def start(sealed_ids="off"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [os.environ["GATEWAY"], f"127.0.0.1:{port}", f"127.0.0.1:{upstream.server_port}"]
        process = subprocess.Popen(command, env={**environment, "SEALED_IDS": sealed_ids}, stdout=subprocess.DEVNULL)
        started.append(process)
        for _ in range(PATIENCE * 20):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                assert process.poll() is None, "it ended"
                time.sleep(0.05)
            else:
                return f"http://127.0.0.1:{port}"
        raise TimeoutError(command)

    yield start
    for process in started:
        process.kill()
        process.wait()
