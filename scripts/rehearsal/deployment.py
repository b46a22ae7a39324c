"""Stacks in the emulated AWS, handled as the CDK handles them: by change sets, in order, and gone in the opposite order."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from scripts.rehearsal.assembly import Assembly, FileAsset, Stack, Template

#: What ``cdk bootstrap`` leaves behind, by the names that the templates ask for.
_BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"
_NEWEST_BOOTSTRAP = "30"
_TEMPLATES = "rehearsal-templates"
_WITHIN = timedelta(minutes=3)
_LOOK_EVERY = timedelta(milliseconds=100)
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_NOTHING_TO_DO = "didn't contain changes"


class DeploymentFailed(RuntimeError):
    """A stack did not get where it should. The message names the resource and the emulator's reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One line of a change set."""

    stack: str
    resource: str
    action: str
    properties: tuple[str, ...]
    is_certain: bool
    """Otherwise it refers to something that changes, and CloudFormation looks again when it gets there."""


class Deployment:
    """The stacks of one assembly. ``client`` makes a client of an AWS service with the account's own credentials.

    ``meanwhile`` is called again and again while a stack is worked on: somebody has to run the tasks that it waits for.
    """

    def __init__(self, client: Callable[[str], Any], *, region: str, meanwhile: Callable[[], None]) -> None:
        self._client = client
        self._meanwhile = meanwhile
        self._region = region
        self._cloudformation = client("cloudformation")

    def bootstrap(self, files: Iterable[FileAsset]) -> None:
        """Lay down what ``cdk bootstrap`` makes and ``cdk deploy`` uploads."""
        self._client("ssm").put_parameter(Name=_BOOTSTRAP_VERSION, Value=_NEWEST_BOOTSTRAP, Type="String", Overwrite=True)
        s3 = self._client("s3")
        files = list(files)
        for bucket in {_TEMPLATES, *(file.bucket for file in files)}:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": self._region})
        for file in files:
            s3.put_object(Bucket=file.bucket, Key=file.key, Body=file.content())

    def clear_bootstrap(self, files: Iterable[FileAsset]) -> None:
        """Take away what :meth:`bootstrap` laid down."""
        self._client("ssm").delete_parameter(Name=_BOOTSTRAP_VERSION)
        s3 = self._client("s3")
        for bucket in {_TEMPLATES, *(file.bucket for file in files)}:
            self.empty_bucket(bucket)
            s3.delete_bucket(Bucket=bucket)

    def deploy(self, stack: Stack) -> tuple[Change, ...]:
        """Create or update a stack and return what changed: nothing for the same template. Raises :class:`DeploymentFailed`."""
        exists = self._status(stack.name) is not None
        try:
            made = self._cloudformation.create_change_set(
                StackName=stack.name,
                ChangeSetName=f"rehearsal-{uuid.uuid4().hex[:8]}",
                ChangeSetType="UPDATE" if exists else "CREATE",
                TemplateURL=self._upload(stack.name, stack.template),
                Capabilities=_CAPABILITIES,
            )
        except ClientError as error:
            raise DeploymentFailed(f"The emulator refuses the template of {stack.name}: {error}") from error
        described = self._await_change_set(made["Id"])
        if described is None:
            return ()
        self._cloudformation.execute_change_set(ChangeSetName=made["Id"])
        self._await_stack(stack.name, "UPDATE_COMPLETE" if exists else "CREATE_COMPLETE")
        if stack.is_protected:
            self._cloudformation.update_termination_protection(StackName=stack.name, EnableTerminationProtection=True)
        return tuple(_change(stack.name, entry["ResourceChange"]) for entry in described["Changes"])

    def drift(self, stack: str) -> Mapping[str, tuple[tuple[str, str, str], ...]]:
        """What was changed by hand: for each resource the property, the value of the template and the value now."""
        asked = self._cloudformation.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
        self._wait(lambda: self._detection(asked) != "DETECTION_IN_PROGRESS", lambda: f"the drift of {stack}")
        found = self._cloudformation.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
        )
        return {
            drift["LogicalResourceId"]: tuple(
                (difference["PropertyPath"], difference["ExpectedValue"], difference["ActualValue"])
                for difference in drift.get("PropertyDifferences", ())
            )
            for drift in found["StackResourceDrifts"]
        }

    def destroy(self, stack: str) -> None:
        """Delete a stack. Raises :class:`DeploymentFailed`, also for one that is protected."""
        try:
            self._cloudformation.delete_stack(StackName=stack)
        except ClientError as error:
            raise DeploymentFailed(f"{stack} is not deleted: {error}") from error
        self._await_stack(stack, None)

    def unprotect(self, stack: str) -> None:
        self._cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=False)

    def empty_bucket(self, bucket: str) -> None:
        s3 = self._client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", ()):
                s3.delete_object(Bucket=bucket, Key=found["Key"])

    def outputs(self, stack: str) -> dict[str, str]:
        (described,) = self._cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}

    def resources(self, stack: str) -> list[dict[str, str]]:
        """Logical id, physical id and type of everything in a stack."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return [resource for page in pages for resource in page["StackResourceSummaries"]]

    def _upload(self, name: str, template: Template) -> str:
        s3 = self._client("s3")
        s3.put_object(Bucket=_TEMPLATES, Key=f"{name}.json", Body=json.dumps(template).encode())
        return f"{s3.meta.endpoint_url}/{_TEMPLATES}/{name}.json"

    def _await_change_set(self, change_set: str) -> dict[str, Any] | None:
        """``None``: there is nothing to change."""
        described: dict[str, Any] = {}

        def is_ready() -> bool:
            described.update(self._cloudformation.describe_change_set(ChangeSetName=change_set))
            return described["Status"] in {"CREATE_COMPLETE", "FAILED"}

        self._wait(is_ready, lambda: f"change set {change_set}")
        if described["Status"] == "FAILED":
            if _NOTHING_TO_DO in described.get("StatusReason", ""):
                return None
            raise DeploymentFailed(f"{described.get('StackName')}: {described.get('StatusReason')}")
        return described

    def _await_stack(self, name: str, wanted: str | None) -> None:
        self._wait(lambda: not (self._status(name) or "").endswith("_IN_PROGRESS"), lambda: f"{name} to become {wanted or 'deleted'}")
        if (status := self._status(name)) != wanted:
            raise DeploymentFailed(
                f"{name} is {status}, not {wanted or 'deleted'}: {'; '.join(self._failures(name)) or 'no event says why'}"
            )

    def _failures(self, name: str) -> list[str]:
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [
            f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        ]

    def _status(self, name: str) -> str | None:
        """``None``: there is no such stack."""
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        status: str = stack["StackStatus"]
        return None if status == "DELETE_COMPLETE" else status

    def _detection(self, asked: str) -> str:
        status: str = self._cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=asked)["DetectionStatus"]
        return status

    def _wait(self, is_over: Callable[[], bool], what: Callable[[], str]) -> None:
        deadline = time.monotonic() + _WITHIN.total_seconds()
        while not is_over():
            if time.monotonic() > deadline:
                raise DeploymentFailed(f"Waited {_WITHIN.total_seconds():.0f} s for {what()}.")
            self._meanwhile()
            time.sleep(_LOOK_EVERY.total_seconds())


def _change(stack: str, change: dict[str, Any]) -> Change:
    details = change.get("Details", ())
    certain = [detail for detail in details if detail.get("Evaluation") != "Dynamic"]
    return Change(
        stack=stack,
        resource=change["LogicalResourceId"],
        action=change["Action"],
        properties=tuple(dict.fromkeys(detail["Target"].get("Name") or detail["Target"].get("Attribute", "") for detail in details)),
        is_certain=bool(certain) or not details,
    )


def deploy_all(deployment: Deployment, assembly: Assembly) -> tuple[Change, ...]:
    """Every stack of the assembly, in order."""
    return tuple(change for stack in assembly.stacks for change in deployment.deploy(stack))
