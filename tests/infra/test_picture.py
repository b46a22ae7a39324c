"""The picture of a stage is that of its templates."""

import copy
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from app.topology import TOPOLOGY
from infra.picture.page import PICTURE, files
from infra.stages import PROD
from tests.infra.templates import Templates
from tests.support.environment import REPOSITORY


def drawn(templates: Templates, change: Any = None) -> dict[str, str]:
    stacks = {f"{PROD.name_prefix}-{name}": copy.deepcopy(template) for name, template in templates.stacks.items()}
    if change is not None:
        change({name.removeprefix(f"{PROD.name_prefix}-"): template for name, template in stacks.items()})
    return dict(files(stacks, prefix=PROD.name_prefix))


def words(picture: str, kind: str | None = None) -> list[str]:
    """Its texts, or those of one class."""
    texts = ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 — our own
    return ["".join(text.itertext()) for text in texts if kind in (None, text.get("class"))]


def test_the_page_and_the_picture_are_up_to_date(prod: Templates) -> None:
    for path, text in drawn(prod).items():
        assert (REPOSITORY / path).read_text() == text, "stale: scripts/synth prod && .venv/bin/python -m infra.picture"


def test_everything_of_the_topology_is_in_it_once(prod: Templates) -> None:
    names = [queue.name for queue in TOPOLOGY.queues]
    names += [service.name for service in TOPOLOGY.services] + [one_off.name for one_off in TOPOLOGY.one_offs]
    names += [f"{table.name} (DynamoDB)" for table in TOPOLOGY.tables] + [f"{bucket.name} (S3)" for bucket in TOPOLOGY.buckets]

    found = words(drawn(prod)[PICTURE], "name")

    assert [found.count(name) for name in names] == [1] * len(names)


def test_what_a_role_may_no_longer_do_is_drawn_no_longer(prod: Templates) -> None:
    def change(stacks: dict[str, Any]) -> None:
        for resource in stacks["compute"]["Resources"].values():
            if resource["Type"] == "AWS::IAM::Policy" and "worker-emails" not in str(resource):
                statements = resource["Properties"]["PolicyDocument"]["Statement"]
                statements[:] = [statement for statement in statements if "breakers" not in str(statement["Resource"])]

    before, after = (words(drawn(prod, change)[PICTURE]) for change in (None, change))

    assert before[before.index("breakers (DynamoDB)") + 1] == "operator, web, worker-default"
    assert after[after.index("breakers (DynamoDB)") + 1] == "nobody"


def test_a_queue_without_a_worker_cannot_be_drawn_and_is_named(prod: Templates) -> None:
    def change(stacks: dict[str, Any]) -> None:
        for resource in stacks["compute"]["Resources"].values():
            if resource["Type"] == "AWS::IAM::Policy":
                for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                    if "sqs:ReceiveMessage" in statement["Action"] and "reports" in str(statement["Resource"]):
                        statement["Action"] = "sqs:GetQueueAttributes"

    with pytest.raises(ValueError, match=r"queue reports: expected one service that receives from it, got \[\]"):
        drawn(prod, change)
