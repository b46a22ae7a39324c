"""Our own functions, those of ``infra/handlers``: which roles they have, and the one that only a new password calls."""

import json
from pkgutil import iter_modules

from app.topology import TOPOLOGY
from infra import handlers
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.grants import Role, deployed_role

_RESTART = "restart.restart"


class Functions:
    """As they are deployed. Those of the CDK, which lead a custom resource to ours, are its business."""

    def __init__(self, aws: EmulatedAws) -> None:
        self._aws = aws
        modules = {module.name for module in iter_modules(handlers.__path__)}
        pages = aws.client("lambda").get_paginator("list_functions").paginate()
        deployed = [function for page in pages for function in page["Functions"]]
        self._by_handler = {one["Handler"]: one for one in deployed if one["Handler"].partition(".")[0] in modules}

    def roles(self) -> dict[str, Role]:
        """Of each, by its handler."""
        iam = self._aws.client("iam")
        return {handler: deployed_role(iam, one["Role"].rpartition("/")[2]) for handler, one in self._by_handler.items()}

    def change_the_password(self, findings: Findings) -> None:
        """What a new password of the database sets off. The emulator takes no event in the name of Secrets Manager, so we call the function."""
        name = self._by_handler[_RESTART]["FunctionName"]
        answer = self._aws.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        told = json.loads(answer["Payload"].read())
        restarted = told.get("restarted", []) if isinstance(told, dict) else []
        findings.expect(
            "FunctionError" not in answer and len(restarted) == len(TOPOLOGY.services),
            f"after a new password of the database {len(restarted)} services are told to start anew",
            f"After a new password {len(TOPOLOGY.services)} services must be told to start anew; the function answered {told}",
        )
