"""Asks SQS and ECS, and tells CloudWatch how many copies are missing."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from app.engine.aws import clients
from app.engine.aws.errors import AwsRefused, translated
from app.engine.aws.queue_urls import queue_url
from app.engine.conf import EngineSettings
from app.engine.errors import EngineError
from app.engine.scaling.run_time import mean_run_time
from app.engine.workers.records import WorkerRecord
from app.engine.workers.registry import live_workers
from app.topology import ServicePolicy, metrics
from app.topology.naming import cluster_name, service_name
from app.topology.scaling import deficit

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
MOST_SERVICES_A_CALL = 10
#: CloudWatch keeps seconds of such a figure; an alarm on less than a minute needs them.
HIGH_RESOLUTION = 1


class Sensor:
    """One process's view of what is missing.

    Each service is asked for by itself: what AWS does not tell of one is logged once, and silences no other.
    """

    def __init__(self, settings: EngineSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._now = now
        self._services = tuple(service for service in settings.topology.services if service.scaling is not None)
        self._failing: set[str] = set()

    def publish_once(self) -> Mapping[str, int]:
        """Publish, and return, the deficit of every service of which everything is known."""
        desired = self._tried("services", self._read_desired)
        workers = self._tried("run times", partial(live_workers, self._settings, self._now())) or ()
        found: dict[str, int] = {}
        if desired is None:  # said once, of all of them
            return found
        for service in self._services:
            if (missing := self._tried(service.name, partial(self._deficit, service, desired, workers))) is not None:
                found[service.name] = missing
        if found and self._tried("metrics", partial(self._put, found)) is None:
            return {}
        return found

    def _deficit(self, service: ServicePolicy, desired: Mapping[str, int], workers: Iterable[WorkerRecord]) -> int:
        assert service.scaling is not None  # noqa: S101 — for the type checker: the others were left out
        if service.name not in desired:
            raise AwsRefused(f"ECS knows no active service {self._physical(service)} in cluster {self._cluster}. Deploy the services.")
        with translated("read the queue's depth"):
            counts = clients.sqs(self._settings).get_queue_attributes(
                QueueUrl=queue_url(self._settings, service.consumes[0]),
                # Delayed messages are not due: nobody could take them.
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )["Attributes"]
        return deficit(
            visible=int(counts["ApproximateNumberOfMessages"]),
            in_flight=int(counts["ApproximateNumberOfMessagesNotVisible"]),
            desired=desired[service.name],
            run_time=mean_run_time(service.name, workers, service.scaling.expected_run_time),
            slots=service.slots,
            policy=service.scaling,
        )

    def _read_desired(self) -> dict[str, int]:
        """By logical name. Those that ECS does not know are left out."""
        names = {self._physical(service): service.name for service in self._services}
        physical = list(names)
        found: dict[str, int] = {}
        with translated("read how many copies are desired"):
            for first in range(0, len(physical), MOST_SERVICES_A_CALL):
                answer = clients.ecs(self._settings).describe_services(
                    cluster=self._cluster, services=physical[first : first + MOST_SERVICES_A_CALL]
                )
                found |= {names[each["serviceName"]]: each["desiredCount"] for each in answer["services"] if each["status"] == "ACTIVE"}
        return found

    def _put(self, found: Mapping[str, int]) -> bool:
        figures: list[MetricDatumTypeDef] = [
            {
                "MetricName": metrics.CAPACITY_DEFICIT.name,
                "Dimensions": [
                    {"Name": metrics.DEPLOYMENT, "Value": self._settings.name_prefix},
                    {"Name": metrics.SERVICE, "Value": service},
                ],
                "Timestamp": self._now(),
                "Value": missing,
                "Unit": "Count",
                "StorageResolution": HIGH_RESOLUTION,
            }
            for service, missing in found.items()
        ]
        with translated("publish the capacity deficit"):
            clients.cloudwatch(self._settings).put_metric_data(Namespace=metrics.NAMESPACE, MetricData=figures)
        return True

    def _tried(self, subject: str, call: Callable[[], T]) -> T | None:
        """``None`` if it failed, which is logged the first time of a row."""
        try:
            answer = call()
        except EngineError as error:
            if subject not in self._failing:
                self._failing.add(subject)
                logger.warning("capacity deficit not published", extra={"subject": subject, "reason": str(error)})
            return None
        if subject in self._failing and answer is not None:
            self._failing.remove(subject)
            logger.info("capacity deficit published again", extra={"subject": subject})
        return answer

    def _physical(self, service: ServicePolicy) -> str:
        return service_name(self._settings.name_prefix, service.name)

    @property
    def _cluster(self) -> str:
        return cluster_name(self._settings.name_prefix)
