"""What the harness tells a stack's program by its environment: the only reader and the only writer of these variables."""

import os
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

REGION = "us-east-1"
#: The fake checks no signature, but everybody computes one.
ACCESS_KEY = "benchmark"
SECRET_KEY = "benchmark"  # noqa: S105


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Where a stack finds its broker, what its queue is called, and how it shall work."""

    address: str
    queue: str
    table: str
    tally: str
    concurrency: int
    stores_results: bool

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "BENCHMARK_ADDRESS": self.address,
            "BENCHMARK_QUEUE": self.queue,
            "BENCHMARK_TABLE": self.table,
            "BENCHMARK_TALLY": self.tally,
            "BENCHMARK_CONCURRENCY": str(self.concurrency),
            "BENCHMARK_RESULTS": "yes" if self.stores_results else "no",
        }

    @classmethod
    def of_this_process(cls) -> Self:
        return cls(
            address=os.environ["BENCHMARK_ADDRESS"],
            queue=os.environ["BENCHMARK_QUEUE"],
            table=os.environ["BENCHMARK_TABLE"],
            tally=os.environ["BENCHMARK_TALLY"],
            concurrency=int(os.environ["BENCHMARK_CONCURRENCY"]),
            stores_results=os.environ["BENCHMARK_RESULTS"] == "yes",
        )

    @property
    def queue_url(self) -> str:
        return f"{self.address}/000000000000/{self.queue}"

    def common_settings(self) -> dict[str, Any]:
        """What every stack is told and what costs none of them anything."""
        return {
            "task_default_queue": self.queue,
            "broker_connection_retry_on_startup": True,
        }

    def stock_settings(self) -> dict[str, Any]:
        """How stock Celery reaches the fake. Predefined queues spare it ListQueues."""
        host = urlsplit(self.address).netloc
        settings = self.common_settings() | {
            "broker_url": f"sqs://{ACCESS_KEY}:{SECRET_KEY}@{host}",
            "broker_transport_options": {"region": REGION, "predefined_queues": {self.queue: {"url": self.queue_url}}},
        }
        if self.stores_results:
            # Without keys, as with an IAM role. With them, it connects before the pool forks: children that share a connection
            # garble each other's requests and wait a minute for answers that a sibling read.
            settings["result_backend"] = f"dynamodb://@{host}/{self.table}"
        return settings
