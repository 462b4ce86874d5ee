"""A callback for the proxy of LiteLLM that pins sessions to the deployments of a model group.

In a file beside the proxy's configuration, which names `pins` among its callbacks:

    accounts = Affinity(["account-a", "account-b"], placement_key=..., cookie_keys=[...])
    pins = PinDeployments("gpt", accounts)

The identity of an account is the `model_info.id` of its deployment. Nothing is shared between
replicas or remembered: the response decides again which deployment has served the request.
"""

import logging
from collections.abc import Mapping
from typing import Any, Optional, Union

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found]

from ._enums import Answer, Group
from ._tokenpin import Affinity, Decision
from ._types import Error

log = logging.getLogger("tokenpin.litellm")


class PinDeployments(CustomLogger):  # type: ignore[misc]
    """Pins the sessions of one model group, or of several with the same accounts.

    `consumer` is a field of LiteLLM's metadata, which clients cannot set, such as
    `user_api_key_hash` or `user_api_key_team_id`. `session_header` is a header with a session key,
    which clients choose. Without either, the session is that of the cookie, which each client is
    given.
    """

    def __init__(
        self,
        model: Union[str, tuple[str, ...]],
        affinity: Affinity,
        *,
        consumer: Optional[str] = None,
        session_header: Optional[str] = None,
    ) -> None:
        super().__init__()
        if consumer is not None and not consumer.startswith("user_api_key_"):
            raise ValueError("consumer: only what begins with user_api_key_ is LiteLLM's own, and not a client's")
        self.models = (model,) if isinstance(model, str) else tuple(model)
        self.affinity, self.consumer = affinity, consumer
        self.session_header = None if session_header is None else session_header.lower()

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[dict[str, Any]],
        messages: Optional[list[Any]] = None,
        request_kwargs: Optional[dict[str, Any]] = None,
        parent_otel_span: Any = None,
    ) -> list[dict[str, Any]]:
        """Leaves the one deployment that serves the session, of those that LiteLLM would choose
        from; or none.
        """
        request = request_kwargs or {}
        if model not in self.models or _is_left_alone(request):
            return healthy_deployments
        found = ((self.affinity.find(str((it.get("model_info") or {}).get("id"))), it) for it in healthy_deployments)
        there = {slot: deployment for slot, deployment in found if slot is not None}
        if healthy_deployments and not there:
            log.error("no deployment of %s has a model_info.id that is an account of the affinity", model)
            return healthy_deployments
        # LiteLLM hides the real headers from its own metadata.
        headers = (request.get("secret_fields") or {}).get("raw_headers") or {}
        decision = self._decide(headers, request, [slot for slot in range(len(self.affinity)) if slot not in there])
        # An exception would be a 500, which says that LiteLLM has a bug.
        return [] if decision is None or decision.slot is None else [there[decision.slot]]

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: Optional[dict[str, str]] = None,
        litellm_call_info: Optional[dict[str, Any]] = None,
    ) -> Optional[dict[str, str]]:
        """The cookie of a session that begins, moves, or is due for another one."""
        if response is None or _is_left_alone(data):
            return None
        hidden = getattr(response, "_hidden_params", None) or {}
        served = (litellm_call_info or {}).get("model_id") or hidden.get("model_id")
        slot = None if served is None else self.affinity.find(str(served))
        if slot is None:
            return None
        others = [other for other in range(len(self.affinity)) if other != slot]
        decision = self._decide(request_headers or {}, data, others)
        if decision is None or decision.slot is None:
            return None
        answer, line = self.affinity.finish(decision, 200)
        if answer != Answer.SET_COOKIE:
            return None
        return {"set-cookie": line, "cache-control": 'no-cache="Set-Cookie"'}

    def _decide(self, headers: Mapping[str, str], request: Mapping[str, Any], tried: list[int]) -> Optional[Decision]:
        values = {name.lower(): value for name, value in headers.items()}
        try:
            return self.affinity.decide(
                "POST",
                # All that is routed: a chat keeps no state, but its prompt cache is in the account.
                group=Group.STATEFUL,
                cookies=values.get("cookie", "").encode("latin-1", "replace"),
                consumer=self._consumer(request),
                consumer_trusted=True,
                session=None if self.session_header is None else values.get(self.session_header),
                tried=tried,
            )
        except Error as error:
            log.error("a request is not pinned: %s", error)
            return None

    def _consumer(self, request: Mapping[str, Any]) -> Optional[str]:
        if self.consumer is None:
            return None
        for name in ("litellm_metadata", "metadata"):
            value = (request.get(name) or {}).get(self.consumer)
            if value:
                return str(value)
        return None


def _is_left_alone(request: Mapping[str, Any]) -> bool:
    """LiteLLM finds the deployment of a response by its own ids, which know better than any
    session.
    """
    return bool(request.get("previous_response_id"))


__all__ = ["PinDeployments"]
