"""What is asked of AWS, what is published, and what is not if AWS does not answer."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.engine.aws.errors import AwsUnavailable
from app.engine.conf import engine_settings
from app.engine.scaling import sensor as module
from app.engine.scaling.sensor import MOST_SERVICES_A_CALL, Sensor
from app.engine.workers.records import WorkerRecord
from app.topology import TOPOLOGY, metrics
from app.topology.naming import cluster_name, queue_name, service_name
from tests.unit.engine.workers.records import WORKER

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SCALED = [service for service in TOPOLOGY.services if service.scaling is not None]
DEFAULT, REPORTS = (TOPOLOGY.service(name) for name in ("worker-default", "worker-reports"))


class FakeAws:
    """SQS, ECS and CloudWatch as the sensor calls them. ``broken`` names the calls, queues and services that fail."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.visible = dict.fromkeys((queue.name for queue in TOPOLOGY.queues), 0)
        self.in_flight = dict(self.visible)
        self.desired = {service.name: service.scaling.minimum for service in SCALED if service.scaling}
        self.status = "ACTIVE"
        self.workers: list[WorkerRecord] = []
        self.broken: set[str] = set()
        self.described: list[list[str]] = []
        self.put: list[dict[str, Any]] = []

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # noqa: N803 — botocore's names
        queue = next(name for name in self.visible if QueueUrl.endswith(f"/{queue_name(self.prefix, name)}"))
        self._fail("GetQueueAttributes", queue)
        known = {"ApproximateNumberOfMessages": self.visible[queue], "ApproximateNumberOfMessagesNotVisible": self.in_flight[queue]}
        return {"Attributes": {name: str(known[name]) for name in AttributeNames}}

    def describe_services(self, cluster: str, services: list[str]) -> dict[str, Any]:
        assert cluster == cluster_name(self.prefix)
        self.described.append(services)
        self._fail("DescribeServices")
        known = {service_name(self.prefix, name): count for name, count in self.desired.items()}
        return {
            "services": [{"serviceName": name, "desiredCount": known[name], "status": self.status} for name in services if name in known],
            "failures": [{"arn": name, "reason": "MISSING"} for name in services if name not in known],
        }

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803 — botocore's names
        self._fail("PutMetricData")
        assert Namespace == metrics.NAMESPACE
        self.put += MetricData

    def live_workers(self, *_: Any) -> Iterable[WorkerRecord]:
        if "Scan" in self.broken:
            raise AwsUnavailable("Could not read the list of workers: away")
        return self.workers

    def _fail(self, *subjects: str) -> None:
        if self.broken.intersection(subjects):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, subjects[0])


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    fake = FakeAws(engine_settings().name_prefix)
    monkeypatch.setattr(module, "clients", SimpleNamespace(sqs=lambda _: fake, ecs=lambda _: fake, cloudwatch=lambda _: fake))
    monkeypatch.setattr(module, "live_workers", fake.live_workers)
    return fake


@pytest.fixture
def sensor(aws: FakeAws) -> Sensor:
    return Sensor(engine_settings(), now=lambda: NOON)


def warnings(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [getattr(record, "subject", None) for record in caplog.records if record.levelname == "WARNING"]


def test_an_idle_deployment_lacks_nothing_and_says_so_for_every_scaled_service(aws: FakeAws, sensor: Sensor) -> None:
    assert sensor.publish_once() == dict.fromkeys((service.name for service in SCALED), 0)


def test_a_figure_is_what_the_alarms_look_for(aws: FakeAws, sensor: Sensor) -> None:
    aws.visible["default"] = 600

    sensor.publish_once()

    figure = next(each for each in aws.put if {"Name": "Service", "Value": "worker-default"} in each["Dimensions"])
    assert figure == {
        "MetricName": "CapacityDeficit",
        "Dimensions": [{"Name": "Deployment", "Value": aws.prefix}, {"Name": "Service", "Value": "worker-default"}],
        "Timestamp": NOON,
        "Value": 4,  # 600 jobs of a second in 30 s are 20 slots, 5 tasks; one is there
        "Unit": "Count",
        "StorageResolution": 1,
    }
    assert [dimension["Name"] for dimension in figure["Dimensions"]] == [*metrics.CAPACITY_DEFICIT.dimensions]


def test_too_many_tasks_are_a_negative_deficit(aws: FakeAws, sensor: Sensor) -> None:
    aws.desired["worker-default"] = 7

    assert sensor.publish_once()["worker-default"] == -6


def test_the_first_job_of_a_queue_without_tasks_needs_one(aws: FakeAws, sensor: Sensor) -> None:
    aws.visible["reports"] = 1

    assert sensor.publish_once()["worker-reports"] == 1


def test_what_workers_measure_takes_the_place_of_what_the_policy_expects(aws: FakeAws, sensor: Sensor) -> None:
    aws.visible["default"] = 600
    aws.workers = [replace(WORKER, service="worker-default", busy_seconds=1000.0, runs=2000.0)]

    assert sensor.publish_once()["worker-default"] == 1  # half a second each


def test_without_the_list_of_workers_runs_take_what_the_policy_expects(
    aws: FakeAws, sensor: Sensor, caplog: pytest.LogCaptureFixture
) -> None:
    aws.visible["default"] = 600
    aws.broken = {"Scan"}

    assert sensor.publish_once()["worker-default"] == 4
    assert warnings(caplog) == ["run times"]


def test_a_queue_that_cannot_be_asked_silences_its_own_service_only(aws: FakeAws, sensor: Sensor, caplog: pytest.LogCaptureFixture) -> None:
    aws.broken = {"default"}

    for _ in range(3):
        assert set(sensor.publish_once()) == {service.name for service in SCALED} - {"worker-default"}

    assert warnings(caplog) == ["worker-default"]


def test_a_service_that_ecs_does_not_know_is_silent_and_the_log_says_which(
    aws: FakeAws, sensor: Sensor, caplog: pytest.LogCaptureFixture
) -> None:
    del aws.desired["worker-reports"]

    assert "worker-reports" not in sensor.publish_once()

    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert f"{aws.prefix}-worker-reports in cluster {aws.prefix}" in record.__dict__["reason"]


def test_services_that_are_being_deleted_are_not_scaled(aws: FakeAws, sensor: Sensor) -> None:
    aws.status = "DRAINING"

    assert sensor.publish_once() == {}
    assert aws.put == []


@pytest.mark.parametrize("call", ["DescribeServices", "PutMetricData"])
def test_a_call_that_fails_is_logged_once_nothing_is_published_and_the_next_round_tries_again(
    aws: FakeAws, sensor: Sensor, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    caplog.set_level("INFO")
    aws.broken = {call}
    assert [sensor.publish_once() for _ in range(3)] == [{}, {}, {}]
    assert len(warnings(caplog)) == 1
    assert aws.put == []

    aws.broken = set()
    assert len(sensor.publish_once()) == len(aws.put) == len(SCALED)

    assert [record.message for record in caplog.records][-1] == "capacity deficit published again"


def test_ecs_is_asked_for_as_many_services_as_it_takes_at_once(aws: FakeAws) -> None:
    many = tuple(replace(DEFAULT, name=f"worker-{number}") for number in range(23))
    aws.desired = {service.name: 1 for service in many}
    topology = replace(TOPOLOGY, services=(*TOPOLOGY.services, *many))

    published = Sensor(replace(engine_settings(), topology=topology), now=lambda: NOON).publish_once()

    assert set(published) == set(aws.desired)
    assert [len(names) for names in aws.described] == [MOST_SERVICES_A_CALL, MOST_SERVICES_A_CALL, len(SCALED) + 3]
