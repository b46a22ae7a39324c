"""Grants refuse what nobody could review, and roles that would not work."""

from dataclasses import replace

import pytest

from app.topology import TOPOLOGY, TopologyError
from app.topology.arns import Place, conditions_of
from app.topology.grants import (
    ANY_METRIC,
    MAIL,
    TASKS,
    Grant,
    Kind,
    Resource,
    bucket,
    dead_letters,
    indexes,
    metrics,
    objects,
    queues,
    services,
    table,
)

PLACE = Place(partition="aws", region="eu-central-1", account="111111111111", name_prefix="acme", mail_domain="acme.example")


@pytest.mark.parametrize(
    ("resources", "arn"),
    [
        (queues("default"), "arn:aws:sqs:eu-central-1:111111111111:acme-default"),
        (dead_letters("default"), "arn:aws:sqs:eu-central-1:111111111111:acme-default-dead-letters"),
        (table("ledger"), "arn:aws:dynamodb:eu-central-1:111111111111:table/acme-ledger"),
        (indexes("ledger", "state"), "arn:aws:dynamodb:eu-central-1:111111111111:table/acme-ledger/index/state"),
        (bucket("files"), "arn:aws:s3:::acme-files"),
        (objects("files"), "arn:aws:s3:::acme-files/*"),
        (objects("artifacts", "results/"), "arn:aws:s3:::acme-artifacts/results/*"),
        (TASKS, "arn:aws:ecs:eu-central-1:111111111111:task/acme/*"),
        (services("beat"), "arn:aws:ecs:eu-central-1:111111111111:service/acme/acme-beat"),
        (MAIL, "arn:aws:ses:eu-central-1:111111111111:identity/acme.example"),
        (metrics("Millrace"), "*"),
        (ANY_METRIC, "*"),
    ],
)
def test_a_logical_name_becomes_an_arn(resources: tuple[Resource, ...], arn: str) -> None:
    (resource,) = resources

    assert PLACE.arn_of(resource) == arn


def test_what_is_written_to_cloudwatch_is_limited_to_its_namespace() -> None:
    publish = Grant(purpose="Publish", actions=("cloudwatch:PutMetricData",), on=metrics("Millrace"))
    read = Grant(purpose="Read", actions=("cloudwatch:GetMetricData",), on=ANY_METRIC)

    assert conditions_of(publish) == {"StringEquals": {"cloudwatch:namespace": "Millrace"}}
    assert conditions_of(read) == {}


def test_a_purpose_names_its_statement() -> None:
    assert Grant(purpose="Send jobs, large ones too", actions=("sqs:SendMessage",), on=queues("a")).sid == "SendJobsLargeOnesToo"


@pytest.mark.parametrize("action", ["sqs:*", "sqs:Send*", "*", "SendMessage", "sqs:sendMessage"])
def test_an_action_is_named_whole(action: str) -> None:
    with pytest.raises(TopologyError, match="without wildcards"):
        Grant(purpose="Send", actions=(action,), on=queues("default"))


def test_an_action_fits_what_it_is_on() -> None:
    with pytest.raises(TopologyError, match="sqs:SendMessage is no action on a table"):
        Grant(purpose="Send", actions=("sqs:SendMessage",), on=table("ledger"))


def test_only_what_aws_cannot_limit_is_on_everything() -> None:
    with pytest.raises(TopologyError, match="AWS limits it otherwise"):
        Grant(purpose="Publish", actions=("cloudwatch:PutMetricData",), on=ANY_METRIC)
    with pytest.raises(TopologyError, match="AWS limits it otherwise"):
        Grant(purpose="Read", actions=("cloudwatch:GetMetricData",), on=metrics("Millrace"))


@pytest.mark.parametrize(("actions", "on"), [((), queues("a")), (("sqs:SendMessage",), ())])
def test_a_grant_of_nothing_is_refused(actions: tuple[str, ...], on: tuple[Resource, ...]) -> None:
    with pytest.raises(TopologyError, match="expected a purpose, actions and what they are allowed on"):
        Grant(purpose="Nothing", actions=actions, on=on)


@pytest.mark.parametrize(
    ("kind", "name", "inside", "problem"),
    [
        (Kind.QUEUE, "", "", "expected a name"),
        (Kind.TASKS, "a", "", "expected no name"),
        (Kind.INDEX, "ledger", "", "expected the index"),
        (Kind.TABLE, "ledger", "state", "expected the index"),
        (Kind.OBJECTS, "files", "*", "wildcard"),
    ],
)
def test_a_resource_says_what_it_is_and_no_more(kind: Kind, name: str, inside: str, problem: str) -> None:
    with pytest.raises(TopologyError, match=problem):
        Resource(kind=kind, name=name, inside=inside)


@pytest.mark.parametrize(
    ("grant", "problem"),
    [
        (
            Grant(purpose="Send", actions=("sqs:SendMessage",), on=queues("defualt")),
            "there is no queue 'defualt' among cpu_intensive, default",
        ),
        (Grant(purpose="Read", actions=("dynamodb:Query",), on=indexes("ledger", "stat")), "no index of a table 'ledger/stat'"),
        (Grant(purpose="Read", actions=("s3:GetObject",), on=objects("file")), "no objects of a bucket 'file'"),
        (Grant(purpose="Look", actions=("ecs:DescribeServices",), on=services("worker")), "no service 'worker'"),
        (Grant(purpose="Publish", actions=("cloudwatch:PutMetricData",), on=metrics("Other")), "no metrics of a namespace 'Other'"),
    ],
)
def test_a_grant_on_what_does_not_exist_is_refused(grant: Grant, problem: str) -> None:
    web = replace(TOPOLOGY.service("web"), grants=(grant,))

    with pytest.raises(TopologyError, match=problem):
        replace(TOPOLOGY, services=tuple(web if one.name == "web" else one for one in TOPOLOGY.services))


def test_two_grants_of_one_purpose_are_refused() -> None:
    one = Grant(purpose="Send jobs", actions=("sqs:SendMessage",), on=queues("default"))
    beat = replace(TOPOLOGY.service("beat"), grants=(one, replace(one, purpose="send jobs")))

    with pytest.raises(TopologyError, match="stands there twice"):
        replace(TOPOLOGY, services=tuple(beat if service.name == "beat" else service for service in TOPOLOGY.services))


def test_a_worker_receives_from_its_own_queue_only() -> None:
    for service in TOPOLOGY.services:
        received = {
            resource.name
            for grant in service.grants
            if "sqs:ReceiveMessage" in grant.actions
            for resource in grant.on
            if resource.kind is Kind.QUEUE
        }
        assert received == set(service.consumes)


def test_the_migration_needs_nothing_of_aws() -> None:
    assert not TOPOLOGY.one_off("migrate").grants


def test_a_person_s_commands_may_take_no_job_and_touch_no_file() -> None:
    granted = [(action, resource) for grant in TOPOLOGY.one_off("operator").grants for action in grant.actions for resource in grant.on]

    assert not [resource for _, resource in granted if resource.kind in {Kind.BUCKET, Kind.OBJECTS, Kind.MAIL, Kind.SERVICE, Kind.TASKS}]
    assert {action for action, resource in granted if resource.kind is Kind.QUEUE} == {"sqs:SendMessage", "sqs:GetQueueAttributes"}


def test_no_service_reads_the_list_of_workers_for_the_sake_of_a_person() -> None:
    readers = {service.name for service in TOPOLOGY.services for grant in service.grants if "dynamodb:Scan" in grant.actions}

    assert readers == {"web", "beat"}
