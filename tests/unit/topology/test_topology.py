"""What this project declares, as a whole."""

import string
from pathlib import Path

import pytest

from app.topology import TOPOLOGY, AlarmPolicy, Measure, PulseHealth, QueuePolicy, TopologyError, aws_metrics, metrics
from app.topology.naming import (
    alarm_name,
    bucket_name,
    check_prefix,
    cluster_name,
    dead_letter_queue_name,
    queue_name,
    service_name,
    table_name,
)
from app.topology.policies import LONGEST_LOGICAL_NAME, LONGEST_QUEUE_NAME

REPOSITORY = Path(__file__).resolve().parents[3]
LONGEST_PREFIX = "p" * 32
AWS_NAME = set(string.ascii_lowercase + string.digits + "-_")
#: Services without a queue that publish the dimension ``Service``.
SERVICE_NAMES = {service.name for service in TOPOLOGY.services}


# -- names --------------------------------------------------------------------------------------------------------------


def test_the_longest_names_together_are_just_what_sqs_takes() -> None:
    assert len(dead_letter_queue_name(check_prefix(LONGEST_PREFIX), "q" * LONGEST_LOGICAL_NAME)) == LONGEST_QUEUE_NAME


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_sqs_takes_the_name_of_every_queue_with_the_longest_prefix(queue: QueuePolicy) -> None:
    for name in (queue_name(LONGEST_PREFIX, queue.name), dead_letter_queue_name(LONGEST_PREFIX, queue.name)):
        assert len(name) <= LONGEST_QUEUE_NAME
        assert set(name) <= AWS_NAME


def test_s3_takes_the_name_of_every_bucket_with_the_longest_prefix() -> None:
    for bucket in TOPOLOGY.buckets:
        assert len(bucket_name(LONGEST_PREFIX, bucket.name)) <= 63


def test_every_physical_name_begins_with_the_prefix_and_a_dash() -> None:
    makers = (queue_name, dead_letter_queue_name, table_name, bucket_name, service_name, alarm_name)

    assert {make("shop", "thing") for make in makers} == {"shop-thing", "shop-thing-dead-letters"}


def test_the_cluster_has_no_other_name_than_the_deployment() -> None:
    assert cluster_name("shop") == "shop"


@pytest.mark.parametrize("prefix", ["abc", "millrace", "millrace-prod-2", LONGEST_PREFIX])
def test_a_prefix_that_aws_takes_is_returned(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["", "ab", "Millrace", "1mill", "-mill", "mill-", "mill_race", "mill.race", "p" * 33, "mill\n"])
def test_a_prefix_that_aws_refuses_is_refused(prefix: str) -> None:
    with pytest.raises(TopologyError, match="NAME_PREFIX: expected 3 to 32 lower-case letters"):
        check_prefix(prefix)


# -- alarms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alarm", TOPOLOGY.alarms, ids=lambda alarm: alarm.name)
def test_every_alarm_leads_to_a_runbook_that_exists(alarm: AlarmPolicy) -> None:
    assert (REPOSITORY / "docs" / "runbooks" / alarm.runbook).is_file()


MEASURES = [pytest.param(measure, id=f"{alarm.name}-{name}") for alarm in TOPOLOGY.alarms for name, measure in alarm.measures.items()]


@pytest.mark.parametrize("measure", MEASURES)
def test_an_alarm_names_what_exists(measure: Measure) -> None:
    prefix = "shop"
    known = {
        "QueueName": {make(prefix, queue.name) for queue in TOPOLOGY.queues for make in (queue_name, dead_letter_queue_name)},
        "TableName": {table_name(prefix, table.name) for table in TOPOLOGY.tables},
        "ServiceName": {service_name(prefix, service.name) for service in TOPOLOGY.services},
        "ClusterName": {cluster_name(prefix)},
        "Service": SERVICE_NAMES,
        metrics.DEPLOYMENT: {prefix},
    }

    for dimension, value in measure.dimensions.items():
        if dimension in known:
            assert value.format(prefix=prefix) in known[dimension]


@pytest.mark.parametrize("measure", MEASURES)
def test_an_alarm_reads_a_metric_that_somebody_publishes(measure: Measure) -> None:
    published = TOPOLOGY.metrics if measure.metric.namespace == metrics.NAMESPACE else vars(aws_metrics).values()

    assert measure.metric in published


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_every_queue_wakes_a_person_for_its_oldest_message_and_for_dead_letters(queue: QueuePolicy) -> None:
    alarms = {alarm.name: alarm for alarm in TOPOLOGY.alarms}

    assert alarms[f"{queue.name}-oldest-message"].threshold == queue.alarm_age.total_seconds()
    assert alarms[f"{queue.name}-dead-letters"].threshold == 1


# -- services -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_every_queue_has_a_worker_of_its_own(queue: QueuePolicy) -> None:
    (worker,) = (service for service in TOPOLOGY.services if queue.name in service.consumes)

    assert worker.consumes == (queue.name,)
    assert worker.command[worker.command.index("--queues") + 1] == queue.name
    assert isinstance(worker.health, PulseHealth)


def test_there_is_one_beat_and_it_is_a_singleton() -> None:
    assert [service.name for service in TOPOLOGY.services if service.singleton] == ["beat"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_PASSWORD", "STRIPE_API_KEY", "EMAIL_URL"])
def test_what_must_not_be_read_is_declared_a_secret(name: str) -> None:
    assert next(variable for variable in TOPOLOGY.variables if variable.name == name).secret


def test_a_service_whose_runs_outlast_a_stop_protects_them_from_their_beginning() -> None:
    told = {service.name: service.variables.get("PROTECT_RUNS_AFTER_SECONDS") for service in TOPOLOGY.services if service.scaling}

    assert told == {
        "worker-default": None,
        "worker-emails": None,
        "worker-cpu-intensive": None,
        "worker-reports": "1",
        "worker-notifications": None,
    }
