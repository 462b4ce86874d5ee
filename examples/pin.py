"""Pins a session: its second request, with the cookie of the first, gets the same account."""

from tokenpin import Affinity, CookieKey

accounts = ["account-a", "account-b"]
affinity = Affinity(
    accounts,
    # 16 random bytes each, from your secret store, the same on every replica.
    placement_key=b"a placement key!",
    cookie_keys=[CookieKey(1, b"a cookie secret!")],
)

decision = affinity.decide("POST", "/v1/responses")
if decision.slot is None:
    raise SystemExit("no account can serve: answer 503")
print("a new session:", accounts[decision.slot])

# Send it with that account's token. Then, with the status of the account's response:
answer, line = affinity.finish(decision, 200)
assert answer == "set_cookie"
print("Set-Cookie:", line)

decision = affinity.decide("GET", "/v1/responses/resp_1", cookies=line.partition(";")[0])
if decision.slot is None:
    raise SystemExit("no account can serve: answer 503")
print(f"its next request: {accounts[decision.slot]}, {decision.outcome}")
