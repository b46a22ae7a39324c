"""What ECS tells a container, and what a container may tell ECS. Both at addresses that only its own task reaches.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import requests

from app.engine.errors import PermanentError, TransientError

CONNECT_TIMEOUT_SECONDS = 1
#: The agent gives ECS four seconds, and then answers that it took too long.
ANSWER_TIMEOUT_SECONDS = 5
_TIMEOUTS = (CONNECT_TIMEOUT_SECONDS, ANSWER_TIMEOUT_SECONDS)
LONGEST_REASON = 300


class EcsSilent(TransientError):
    """ECS's agent cannot be reached, takes too long or failed: what was asked may have been done."""


class EcsRefused(PermanentError):
    """ECS said no: a missing permission, too many requests, a task of no service, a deployment that protected tasks hold up. Nothing was done."""


def read_task_arn(metadata_url: str) -> str:
    """Which task this container belongs to. Raises :class:`EcsSilent` or :class:`EcsRefused`."""
    return str(_ask("GET", f"{metadata_url}/task").get("TaskARN", ""))


def protect(agent_url: str, expires_in: timedelta) -> None:
    """Keep ECS from stopping this task for a scale-in or a deployment. Raises :class:`EcsSilent` or :class:`EcsRefused`."""
    # The agent counts whole minutes, 1 to 2,880, and refuses names that it does not know.
    _set_protection(agent_url, {"ProtectionEnabled": True, "ExpiresInMinutes": expires_in // timedelta(minutes=1)})


def unprotect(agent_url: str) -> None:
    """Let ECS stop this task. Raises what :func:`protect` raises."""
    _set_protection(agent_url, {"ProtectionEnabled": False})


def _set_protection(agent_url: str, wanted: dict[str, Any]) -> None:
    answer = _ask("PUT", f"{agent_url}/task-protection/v1/state", wanted)
    protection, failure = answer.get("protection"), answer.get("failure")
    # A refusal of ECS, not of its agent, comes with status 200.
    if not isinstance(protection, dict):
        raise EcsRefused(f"ECS does not change the protection of this task: {_reason(failure)}")
    if protection.get("ProtectionEnabled") is not wanted["ProtectionEnabled"]:
        raise EcsRefused("ECS answers with another protection than was asked for.")


def _ask(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy is not this task
            response = session.request(method, url, json=body, timeout=_TIMEOUTS, allow_redirects=False)
            answer = response.json()
    except requests.RequestException as error:
        raise EcsSilent(f"ECS's agent gave no usable answer: {error}"[:LONGEST_REASON]) from error
    if not isinstance(answer, dict):
        raise EcsSilent("ECS's agent answered something that is no JSON object.")
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise EcsSilent(f"ECS's agent failed with status {response.status_code}: {_reason(answer.get('error'))}")
    if response.status_code != HTTPStatus.OK:
        raise EcsRefused(f"ECS's agent refused with status {response.status_code}: {_reason(answer.get('error'))}")
    return answer


def _reason(told: Any) -> str:
    """``Reason`` and ``Detail`` of a failure, ``Code`` and ``Message`` of an error."""
    words = [str(told[name]) for name in ("Reason", "Detail", "Code", "Message") if told.get(name)] if isinstance(told, dict) else []
    return (": ".join(words) or "no reason given")[:LONGEST_REASON]
