"""How the rehearsal judges roles, without an emulator: what a role is without a grant, which grants nobody needed, and what excuses one."""

from typing import Any

import pytest

from scripts.laptop.terminal import Terminal
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.emulator.besides import wanted_besides
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.grants import Call, Grant, Judge, Role, calls_by_role, misjudged, unused
from scripts.rehearsal.judgement import Judgement, Unexercised, sort_out

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:q"
OTHER = "arn:aws:sqs:eu-central-1:123456789012:other"


class FakeJudge(Judge):
    """Allows what some statement names word for word; the real one is asked in the long test."""

    def __init__(self) -> None:
        """Needs no emulator."""

    def denied(self, questions: Any) -> Any:
        return [
            [call for call in calls if not any(_allows(statement, call) for document in documents for statement in document["Statement"])]
            for documents, calls in questions
        ]


def _allows(statement: dict[str, Any], call: dict[str, Any]) -> bool:
    return call["action"] in statement["Action"] and call["resource"] in statement["Resource"]


def call(action: str, resource: str, outcome: str = "allowed") -> dict[str, Any]:
    return {
        "principal": "arn:aws:sts::123456789012:assumed-role/worker/session",
        "action": action,
        "resource": resource,
        "outcome": outcome,
    }


def statement_of(*queues: str) -> dict[str, Any]:
    return {"Sid": "Receive", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"], "Resource": list(queues)}


@pytest.fixture
def role() -> Role:
    return Role(name="worker", policies={"own": {"Statement": [statement_of(QUEUE, OTHER)]}})


# -- grants -----------------------------------------------------------------------------------------------------------
def test_a_grant_is_one_action_on_one_resource(role: Role) -> None:
    assert [(grant.statement, grant.action, grant.resource) for grant in role.grants()] == [
        ("Receive", action, resource) for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage") for resource in (QUEUE, OTHER)
    ]


def test_without_a_grant_all_others_stay(role: Role) -> None:
    taken, *others = role.grants()

    left = role.without(taken).grants()

    assert {(grant.action, grant.resource) for grant in left} == {(grant.action, grant.resource) for grant in others}


def test_a_grant_that_no_call_needed_is_found(role: Role) -> None:
    made = [call("sqs:ReceiveMessage", QUEUE), call("sqs:DeleteMessage", QUEUE), call("sqs:DeleteMessage", OTHER)]

    idle = unused([role], calls_by_role(made), FakeJudge())

    assert idle == [Grant(role="worker", statement="Receive", action="sqs:ReceiveMessage", resource=OTHER)]


def test_a_denied_call_is_no_use_of_a_grant(role: Role) -> None:
    assert len(unused([role], calls_by_role([call("sqs:ReceiveMessage", QUEUE, outcome="denied")]), FakeJudge())) == 4


def test_a_judge_that_decides_otherwise_than_iam_did_is_found_out(role: Role) -> None:
    wrongly_denied, wrongly_allowed = call("sqs:ReceiveMessage", QUEUE, outcome="denied"), call("sqs:SendMessage", QUEUE)
    made = calls_by_role([wrongly_denied, wrongly_allowed, call("sqs:DeleteMessage", QUEUE)])

    assert misjudged([role], made, FakeJudge()) == [wrongly_denied, wrongly_allowed]


def test_the_accounts_own_calls_are_nobodys() -> None:
    assert calls_by_role([{"principal": "arn:aws:iam::123456789012:root", "action": "sqs:CreateQueue", "resource": QUEUE}]) == {}


# -- excuses -------------------------------------------------------------------------------------------------------
def test_a_grant_that_was_needed_on_another_resource_only_is_useless() -> None:
    idle = [Grant(role="worker", statement="Receive", action="sqs:ReceiveMessage", resource=OTHER)]

    used, useless = sort_out(idle, ())

    assert (dict(used), useless) == ({}, idle)


def test_an_excuse_covers_the_actions_that_begin_as_it_says() -> None:
    shell, queue = (
        Grant(role="web", statement="S", action=action, resource="*") for action in ("ssmmessages:OpenDataChannel", "sqs:SendMessage")
    )
    excuse = Unexercised(action="ssmmessages:", reason="no container is started")

    used, useless = sort_out([shell, queue], (excuse, Unexercised(action="s3:", reason="idle")))

    assert (dict(used), useless) == ({excuse: 1}, [queue])


class FakeAws(EmulatedAws):
    """Has decided so, and takes every policy."""

    def __init__(self, decided: list[Call]) -> None:
        self._decided = decided
        self.policies: list[str] = []

    def decisions(self) -> list[Call]:
        return self._decided

    def client(self, *_: Any, **__: Any) -> Any:
        return self

    def put_role_policy(self, *, PolicyDocument: str, **_: str) -> None:  # noqa: N803 — as boto3 calls it
        self.policies.append(PolicyDocument)


def judged(role: Role, aws: FakeAws) -> tuple[Judgement, Findings]:
    findings = Findings(Terminal())
    return Judgement(aws, FakeJudge(), {"a worker": role}, stage="prod", findings=findings), findings


def test_a_grant_that_nobody_needed_is_a_problem_also_beside_one_that_was(role: Role) -> None:
    judgement, findings = judged(role, FakeAws([call(action, QUEUE) for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage")]))

    judgement.tell()

    useless = next(problem for problem in findings.problems if problem.startswith("Granted, and never needed"))
    assert [line.strip() for line in useless.splitlines()[1:]] == [
        "a worker: Receive: sqs:DeleteMessage on other",
        "a worker: Receive: sqs:ReceiveMessage on other",
    ]


def test_only_what_was_taken_away_may_be_denied(role: Role) -> None:
    denied = [call("sqs:DeleteMessage", resource, outcome="denied") for resource in (QUEUE, OTHER)]
    aws = FakeAws([call("sqs:ReceiveMessage", QUEUE), *denied])
    judgement, findings = judged(Role(name="worker", policies={"own": {"Statement": [statement_of(QUEUE)]}}), aws)

    with judgement.taken_away("a worker", "sqs:DeleteMessage") as taken:
        without = aws.policies[-1]
    judgement.tell()

    assert [(grant.action, grant.resource) for grant in taken] == [("sqs:DeleteMessage", QUEUE)]
    assert "sqs:DeleteMessage" not in without
    assert "sqs:DeleteMessage" in aws.policies[-1]
    told = next(problem for problem in findings.problems if problem.startswith("Calls were denied"))
    assert OTHER in told
    assert f"{QUEUE}:" not in told


@pytest.mark.parametrize(
    ("made", "has_done"),
    [
        pytest.param([call("sqs:DeleteMessage", QUEUE), call("sqs:DeleteMessage", OTHER)], True, id="on each"),
        pytest.param([call("sqs:DeleteMessage", QUEUE)], False, id="on one of two"),
        pytest.param([call("sqs:DeleteMessage", QUEUE), call("sqs:DeleteMessage", OTHER, outcome="denied")], False, id="denied on one"),
        pytest.param([call("sqs:ReceiveMessage", QUEUE), call("sqs:ReceiveMessage", OTHER)], False, id="something else"),
    ],
)
def test_a_service_has_done_what_it_was_allowed_on_every_resource(made: list[Call], has_done: bool, role: Role) -> None:
    judgement, _ = judged(role, FakeAws(made))

    assert judgement.has_done("a worker", "sqs:DeleteMessage") is has_done


# -- calls that want two permissions -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("action", "resource", "besides"),
    [
        pytest.param("s3:GetObject", "arn:aws:s3:::files/lost", [("s3:ListBucket", "arn:aws:s3:::files")], id="an absent object is read"),
        pytest.param("s3:GetObject", "arn:aws:s3:::files/kept", [], id="an object is read"),
        pytest.param("s3:DeleteObject", "arn:aws:s3:::files/lost", [], id="an absent object is deleted"),
        pytest.param("s3:GetObject", "arn:aws:s3:::files", [], id="a bucket is no object"),
        pytest.param(
            "ecs:RunTask", "task-definition", [("iam:PassRole", "its role"), ("iam:PassRole", "its other role")], id="a task is run"
        ),
        pytest.param("ecs:StopTask", "task-definition", [], id="a task is stopped"),
    ],
)
def test_another_permission_is_wanted_when(action: str, resource: str, besides: list[tuple[str, str]]) -> None:
    found = wanted_besides(
        action,
        resource,
        is_absent=lambda bucket, key: (bucket, key) == ("files", "lost"),
        roles_of=lambda _: ["its role", "its other role"],
    )

    assert [(wanted.action, wanted.resource) for wanted in found] == besides
