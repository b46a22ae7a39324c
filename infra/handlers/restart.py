"""Starts services anew, one copy after the other, when the database's password has changed: they read it when they start."""

import os
from typing import Any

import boto3


def restart(_event: object, _context: object = None, ecs: Any = None) -> dict[str, list[str]]:
    """Raises the first error after all have been asked; EventBridge then asks again, and once more does no harm."""
    client = ecs or boto3.client("ecs")
    restarted: list[str] = []
    problem: Exception | None = None
    for service in os.environ["SERVICES"].split(","):
        try:
            client.update_service(cluster=os.environ["CLUSTER"], service=service, forceNewDeployment=True)
        except Exception as error:  # noqa: BLE001 — the others want the password, too
            problem = problem or error
        else:
            restarted.append(service)
    if problem is not None:
        raise problem
    return {"restarted": restarted}
