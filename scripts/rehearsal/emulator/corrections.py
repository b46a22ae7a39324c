"""Where ministack's IAM looks at another resource than AWS's, or at too little; and how a task ends that somebody else has run.

- SQS knows no action for a batch of its own.
  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
- Calls to ECS are about the task, service or task definition that they name, not about its cluster, which is the condition key ``ecs:cluster``.
  https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
- Sending a mail is about the identity of its sender; one with raw content wants ``ses:SendRawEmail`` besides ``ses:SendEmail``.
  https://anymail.dev/en/stable/esps/amazon_ses/#iam-permissions
- ``cloudwatch:namespace`` is the namespace of a PutMetricData.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-namespace.html
- Whoever assumes a role for ECS's tasks with the account's own key stands for ECS's agent, which says on whose behalf it does so.
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
- The secrets of a container in a template are those of its task definition.
- Some calls want two permissions: see ``besides``.
- A task that is stopped for the reason ``exit code 3`` has ended with 3.
"""

import base64
import json
import re
from email import message_from_bytes
from email.utils import parseaddr
from typing import Any
from urllib.parse import parse_qs

import cbor2

from scripts.rehearsal.emulator.besides import want_both

_SENDING_MAIL = "/v2/email/outbound-emails"
#: Of each operation the kind of resource, and the field of the request that names it, or several.
_ECS_RESOURCES = {
    "RunTask": ("task-definition", "taskDefinition"),
    "DescribeTasks": ("task", "tasks"),
    "StopTask": ("task", "task"),
    "UpdateTaskProtection": ("task", "tasks"),
    "GetTaskProtection": ("task", "tasks"),
    "DescribeServices": ("service", "services"),
    "UpdateService": ("service", "service"),
}
#: Stands in no ARN.
_BAR = "|"
_EXIT_CODE = re.compile(r"exit code (-?\d+)")


def correct() -> None:
    """In this process, before ministack serves, and after its decisions are recorded. Fails if it is not the one that this was written for."""
    _correct_actions()
    _correct_resources()
    _correct_conditions()
    _correct_mail()
    _correct_trust()
    _correct_secrets()
    _correct_ends()
    want_both()


def _correct_actions() -> None:
    from ministack.core import iam_actions

    action_of = iam_actions.extract_iam_action

    def action(service: str, *request: Any) -> str | None:
        found: str | None = action_of(service, *request)
        return found.removesuffix("Batch") if found and service == "sqs" else found

    iam_actions.extract_iam_action = action


def _correct_resources() -> None:
    from ministack.core import iam_actions, iam_evaluator

    resource_of = iam_actions.extract_resource_arn

    def resource(service: str, method: str, path: str, headers: Any, body: bytes, query: Any, region: str, account: str) -> str:
        if service == "ecs" and (arns := _ecs_resources(headers, body, region, account)):
            return arns
        if service == "ses" and path == _SENDING_MAIL and (domain := _sender_domain(body)):
            return f"arn:aws:ses:{region}:{account}:identity/{domain}"
        found: str = resource_of(service, method, path, headers, body, query, region, account)
        return found

    iam_actions.extract_resource_arn = resource
    enforce = iam_evaluator.enforce

    def enforce_each(*told: Any, resource_arn: str = "*", **named: Any) -> Any:
        for one in resource_arn.split(_BAR):
            if refusal := enforce(*told, resource_arn=one, **named):
                return refusal
        return None

    iam_evaluator.enforce = enforce_each


def _correct_conditions() -> None:
    from ministack.core import iam_actions
    from ministack.core.responses import get_account_id, get_region

    tags_of = iam_actions.request_tag_context

    def context(service: str, action: str, body: bytes, parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = tags_of(service, action, body, parameters)
        if action == "cloudwatch:PutMetricData":
            found["cloudwatch:namespace"] = _namespace(body)
        if service == "ecs":
            found["ecs:cluster"] = _ecs_cluster(body, get_region(), get_account_id())
        return found

    iam_actions.request_tag_context = context


def _correct_mail() -> None:
    import ministack.app as gateway
    from ministack.core import iam_actions
    from ministack.core.responses import get_account_id

    enforce = gateway._enforce_ses_v2

    def enforce_both(method: str, path: str, headers: Any, body: bytes, query: Any, request_id: str) -> Any:
        if refusal := enforce(method, path, headers, body, query, request_id):
            return refusal
        if path != _SENDING_MAIL or "Raw" not in _object(body).get("Content", {}):
            return None
        region = gateway.extract_region(headers, query)
        arn = iam_actions.extract_resource_arn("ses", method, path, headers, body, query, region, get_account_id())
        return gateway._enforce_data_plane("sesv2", "ses:SendRawEmail", headers, query, request_id, resource_arn=arn, named_resource=arn)

    gateway._enforce_ses_v2 = enforce_both


def _correct_trust() -> None:
    from ministack.core import iam_evaluator

    evaluate = iam_evaluator.evaluate_trust_policy

    def on_behalf(document: Any, caller: str, context: Any = None) -> Any:
        if context is not None and caller.endswith(":root"):
            account = context.principal_account
            origin = {"aws:sourceaccount": account, "aws:sourcearn": f"arn:aws:ecs:{context.region}:{account}:cluster/any"}
            context.service_context = {**context.service_context, **origin}
        return evaluate(document, caller, context)

    iam_evaluator.evaluate_trust_policy = on_behalf


def _correct_secrets() -> None:
    from ministack.services.cloudformation import provisioners

    normalized = provisioners._normalize_container_defs

    def with_secrets(definitions: Any) -> Any:
        found = normalized(definitions)
        for container in found:
            container["secrets"] = [{"name": one["Name"], "valueFrom": one["ValueFrom"]} for one in container.get("secrets", ())]
        return found

    provisioners._normalize_container_defs = with_secrets


def _correct_ends() -> None:
    from ministack.services import ecs

    mark_stopped = ecs._mark_task_stopped

    def stopped(arn: str, task: Any, reason: str, code: str, exit_code: int | None = None) -> Any:
        told = _EXIT_CODE.fullmatch(reason)
        return mark_stopped(arn, task, reason, code, int(told[1]) if told else exit_code)

    ecs._mark_task_stopped = stopped


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ecs_resources(headers: Any, body: bytes, region: str, account: str) -> str:
    """All that a call is about, with a bar between them; nothing if it names nothing that is known here."""
    operation, asked = headers.get("x-amz-target", "").rpartition(".")[2], _object(body)
    kind, field = _ECS_RESOURCES.get(operation, ("", ""))
    named = asked.get(field) or []
    inside = "" if kind == "task-definition" else f"{_cluster_name(asked)}/"
    names = [str(name) for name in (named if isinstance(named, list) else [named])]
    return _BAR.join(name if name.startswith("arn:") else f"arn:aws:ecs:{region}:{account}:{kind}/{inside}{name}" for name in names)


def _ecs_cluster(body: bytes, region: str, account: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:cluster/{_cluster_name(_object(body))}"


def _cluster_name(asked: dict[str, Any]) -> str:
    return str(asked.get("cluster", "default")).rpartition("/")[2]


def _sender_domain(body: bytes) -> str:
    """Of the envelope, or of the mail itself if that has none."""
    asked = _object(body)
    sender = asked.get("FromEmailAddress")
    if not sender and (raw := asked.get("Content", {}).get("Raw", {}).get("Data")):
        sender = message_from_bytes(base64.b64decode(raw))["From"]
    return parseaddr(sender or "")[1].rpartition("@")[2]


def _namespace(body: bytes) -> str | None:
    """In whichever protocol the SDK speaks."""
    if namespace := _object(body).get("Namespace"):
        return str(namespace)
    if named := parse_qs(body.decode(errors="replace")).get("Namespace"):
        return named[0]
    try:
        decoded = cbor2.loads(body)
    except (cbor2.CBORDecodeError, ValueError):
        return None
    return decoded.get("Namespace") if isinstance(decoded, dict) else None
