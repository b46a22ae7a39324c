"""Calls for which AWS wants another permission besides the one of their name.

- S3 tells whoever reads an absent object that it is absent only if he may list the bucket, and else that it is forbidden.
  https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, *Permissions*; HeadObject says the same.
- Whoever has ECS run a task passes it its roles.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BUCKET = "arn:aws:s3:::"
_TO_TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A permission, and what its conditions see."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def want_both() -> None:
    """In this process: IAM is asked for each of them. Fails if ministack is not the one that this was written for."""
    from ministack.core import iam_evaluator
    from ministack.services.ecs import _resolve_td_key, _task_defs
    from ministack.services.s3 import _ensure_bucket

    enforce = iam_evaluator.enforce

    def is_absent(bucket: str, key: str) -> bool:
        found = _ensure_bucket(bucket)
        return found is not None and key not in found["objects"]

    def roles_of(definition: str) -> Sequence[str]:
        found = _task_defs.get(_resolve_td_key(definition)) or {}
        return [found[name] for name in ("taskRoleArn", "executionRoleArn") if found.get(name)]

    def enforce_both(access_key: str, action: str, *told: Any, resource_arn: str = "*", **named: Any) -> Any:
        refusal = enforce(access_key, action, *told, resource_arn=resource_arn, **named)
        for wanted in () if refusal else wanted_besides(action, resource_arn, is_absent=is_absent, roles_of=roles_of):
            context = {**named, "service_context": dict(wanted.context)}
            if refusal := enforce(access_key, wanted.action, *told, resource_arn=wanted.resource, **context):
                break
        return refusal

    iam_evaluator.enforce = enforce_both


def wanted_besides(
    action: str, resource: str, *, is_absent: Callable[[str, str], bool], roles_of: Callable[[str], Sequence[str]]
) -> Iterator[Wanted]:
    """``is_absent``: of a bucket and a key in it; ``roles_of``: the roles of a task definition."""
    match action:
        case "s3:GetObject":
            bucket, _, key = resource.removeprefix(_BUCKET).partition("/")
            if key and is_absent(bucket, key):
                yield Wanted(action="s3:ListBucket", resource=_BUCKET + bucket)
        case "ecs:RunTask":
            for role in roles_of(resource):
                yield Wanted(action="iam:PassRole", resource=role, context=_TO_TASKS)
