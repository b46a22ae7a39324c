"""Runs the migration as a task of ECS, and tells CloudFormation how it ended.

    start ──RunTask──▶ running ──exit code 0──▶ the stack goes on
                          └──anything else──▶ the stack fails, and no service gets the release

A retry of the same request starts nothing twice: ECS knows it by its token.
"""

import os
from typing import Any

import boto3

PHYSICAL_ID = "database-schema"


class MigrationFailed(Exception):
    """The task could not be started, or did not end with 0. CloudFormation shows the message."""


def start(event: dict[str, Any], _context: object = None, ecs: Any = None) -> dict[str, Any]:
    """A new release, and the first one: start the task. A stack that is deleted leaves the schema as it is."""
    if event["RequestType"] == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    asked = event["ResourceProperties"]
    answer = (ecs or boto3.client("ecs")).run_task(
        cluster=asked["Cluster"],
        taskDefinition=asked["TaskDefinition"],
        capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": asked["Subnets"],
                "securityGroups": [asked["SecurityGroup"]],
                "assignPublicIp": "DISABLED",
            }
        },
        startedBy="migration",
        clientToken=event["RequestId"],
    )
    if answer.get("failures") or not answer.get("tasks"):
        reasons = ", ".join(failure.get("reason", "no reason") for failure in answer.get("failures", ())) or "no reason"
        raise MigrationFailed(f"ECS did not start the migration: {reasons}.")
    return {"PhysicalResourceId": PHYSICAL_ID, "Data": {"TaskArn": answer["tasks"][0]["taskArn"]}}


def is_over(event: dict[str, Any], _context: object = None, ecs: Any = None) -> dict[str, bool]:
    """Asked until it says yes. Raises :class:`MigrationFailed` for a task that did not end with 0."""
    if event["RequestType"] == "Delete":
        return {"IsComplete": True}
    arn = event["Data"]["TaskArn"]
    answer = (ecs or boto3.client("ecs")).describe_tasks(cluster=event["ResourceProperties"]["Cluster"], tasks=[arn])
    if not answer["tasks"]:
        raise MigrationFailed(f"ECS does not know the migration's task {arn} any more.")
    (task,) = answer["tasks"]
    if task["lastStatus"] != "STOPPED":
        return {"IsComplete": False}
    (container,) = task["containers"]
    if container.get("exitCode") != 0:
        why = container.get("reason") or task.get("stoppedReason") or "no reason"
        raise MigrationFailed(
            f"The migration ended with exit code {container.get('exitCode', 'none')} ({why}). "
            f"Its lines: log group {os.environ['LOG_GROUP']}, stream {container['name']}/{container['name']}/{arn.rpartition('/')[2]}. "
            "No service has got the release."
        )
    return {"IsComplete": True}
