"""The shared vectors, through what the module makes of configurations and requests."""

import re

import httpx2
from server import ROOT

SERVER = f"""
location = /vectors {{
    content_by_lua_block {{
        dofile("{ROOT}/gateways/nginx/tests/vectors.lua")("{ROOT}/tests/vectors/decision_v1.json")
    }}
}}
"""


def test_the_decisions_of_the_vectors(gateway):
    g = gateway(server=SERVER)
    with httpx2.Client(trust_env=False, timeout=60) as client:
        text = client.get(f"{g.url}/vectors").text
    checked, _, wrong = map(int, re.match(r"(\d+) of (\d+) cases, wrong: (\d+)", text).groups())
    assert wrong == 0, text
    assert checked > 150, text
    # Else compiled and interpreted runs would be the same run twice.
    assert f"compiled: {str(g.envoy.jit).lower()}" in text
