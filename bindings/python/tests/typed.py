"""Checked by mypy, strictly, and not run: what a typed program writes."""

from collections.abc import Iterator
from typing import Optional

import tokenpin

key = tokenpin.CookieKey(1, bytes(16), tokenpin.Role.SIGN)
affinity = tokenpin.Affinity(
    ["a", b"b", None, tokenpin.Slot("c", "draining"), ("d", "up", 7)],
    placement_key=bytes(16),
    cookie_keys=[key],
    strategy="rendezvous",
    max_age=None,
    policy_new=tokenpin.Policy.FAIL_FAST,
    rules=[tokenpin.Rule("files", tokenpin.Group.STATELESS)],
    id_fields=[tokenpin.IdField("thing")],
    id_prefixes=["thing_"],
)
decision: tokenpin.Decision = affinity.decide("POST", b"/v1/responses", cookies=["a=b"], tried=(1, 2))
slot: Optional[int] = decision.slot
outcome: tokenpin.Outcome = decision.outcome
label: str = decision.outcome.value
answer, line = affinity.finish(decision, 200)
is_cookie: bool = answer is tokenpin.Answer.SET_COOKIE
status: tokenpin.SlotStatus = affinity.get_slot(0)
affinity.set_slot(0, status._replace(state=tokenpin.State.DOWN))
_, existing, ids = affinity.classify("GET", "/")
opener = affinity.opener("/", ids)
chunks: Iterator[bytes] = affinity.sealer(0, opener).rewrite(iter([b"x"]))
field: bytes = tokenpin.cookie_strip(b"a=b", affinity.cookie_name())
text: str = tokenpin.cookie_strip("a=b", "a")
slots: list[Optional[int]] = tokenpin.Slots(["a"]).select_batch([1, 2])
longest: int = tokenpin.MAX_KEY
try:
    affinity.close()
except tokenpin.ConfigError as error:
    where: tuple[str, int] = error.field, error.index
