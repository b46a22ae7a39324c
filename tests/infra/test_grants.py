"""Roles are made of grants and of nothing else."""

from typing import Any

import pytest

from app.topology import TOPOLOGY, OneOffPolicy, ServicePolicy
from app.topology.arns import Place, conditions_of
from infra.stages import PROD
from tests.infra.templates import Template, Templates

PLACE = Place(
    partition="<AWS::Partition>",
    region="<AWS::Region>",
    account="<AWS::AccountId>",
    name_prefix=PROD.name_prefix,
    mail_domain=PROD.mail_domain,
)

PROCESSES: tuple[ServicePolicy | OneOffPolicy, ...] = (*TOPOLOGY.services, *TOPOLOGY.one_offs)


def _role_of(prod: Templates, name: str) -> str:
    """The logical id of a process's role."""
    definition = prod.properties("AWS::ECS::TaskDefinition", "Family")[f"{PROD.name_prefix}-{name}"]
    role: str = definition["TaskRoleArn"]["Fn::GetAtt"][0]
    return role


def _text(value: Template | str) -> str:
    """An ARN as it reads, with CloudFormation's references in angle brackets."""
    if isinstance(value, str):
        return value
    separator, parts = value["Fn::Join"]
    joined: str = separator.join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
    return joined


def _allowed(prod: Templates, name: str) -> list[Template]:
    role = _role_of(prod, name)
    resources = prod.compute["Resources"]
    # Neither policies inside of the role nor ones that AWS manages: all that it may do stands in what is read below.
    assert set(resources[role]["Properties"]) <= {"AssumeRolePolicyDocument", "Description", "Tags"}
    policies = [one["Properties"] for one in resources.values() if one["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")]
    return [
        statement for policy in policies if {"Ref": role} in policy.get("Roles", []) for statement in policy["PolicyDocument"]["Statement"]
    ]


def _listed(value: Any) -> list[str]:
    return [_text(one) for one in (value if isinstance(value, list) else [value])]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_a_process_may_do_what_it_was_granted_and_nothing_else(prod: Templates, process: ServicePolicy | OneOffPolicy) -> None:
    found = {
        statement["Sid"]: (
            statement["Effect"],
            sorted(_listed(statement["Action"])),
            sorted(_listed(statement["Resource"])),
            statement.get("Condition", {}),
        )
        for statement in _allowed(prod, process.name)
    }

    assert found == {
        grant.sid: ("Allow", sorted(grant.actions), sorted({PLACE.arn_of(one) for one in grant.on}), conditions_of(grant))
        for grant in process.grants
    }


def test_every_role_of_a_task_can_be_taken_by_tasks_of_this_account_only(prod: Templates) -> None:
    for process in PROCESSES:
        role = prod.compute["Resources"][_role_of(prod, process.name)]["Properties"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert _text(trust["Condition"]["ArnLike"]["aws:SourceArn"]) == "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:*"


def test_no_two_processes_share_a_role(prod: Templates) -> None:
    roles = [_role_of(prod, process.name) for process in PROCESSES]

    assert len(roles) == len(set(roles))
