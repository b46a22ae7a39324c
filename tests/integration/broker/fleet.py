"""The shop's processes, some on our transport and some on kombu's, on the same queues behind the strict SQS."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import boto3

from tests.support.broker import Broker
from tests.support.environment import REGION, REPOSITORY
from tests.support.strict_sqs import StrictSqs

OURS = "tests.integration.broker.shop"
STOCK = "tests.integration.broker.stock_shop"
OTHER_QUEUE = "others"


@dataclass
class Fleet(Broker):
    """Two queues, results in files, and S3."""

    program: str = OURS
    s3_network: StrictSqs | None = None
    """What stands between the processes and S3 alone. ``None``: the same as for SQS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.other_url = self.sqs.create_queue(QueueName=f"{self.name}-{OTHER_QUEUE}")["QueueUrl"]
        (self.directory / "results").mkdir()
        self.bucket = self.name
        self.s3 = boto3.client("s3", region_name=REGION, endpoint_url=self.direct, aws_access_key_id="x", aws_secret_access_key="y")

    def environment(self, **options: Any) -> dict[str, str]:
        variables = super().environment(**options)
        given = json.loads(variables["BROKER_PROGRAM"])
        told = given["options"]
        told["predefined_queues"][OTHER_QUEUE] = {"url": self.other_url.replace(self.direct, self.network.url)}
        # SQS by the broker's URL, as stock programs are told; what else they need of AWS is where the AWS SDK says.
        del told["endpoint_url"]
        host = self.network.url.removeprefix("http://")
        given |= {"broker_url": f"sqs://test:test@{host}", "result_backend": f"file://{self.directory}/results"}
        told["is_secure"] = False
        return variables | {"BROKER_PROGRAM": json.dumps(given), "AWS_ENDPOINT_URL_S3": (self.s3_network or self.network).url}

    def ask(self, code: str, program: str = OURS) -> Any:
        """Run code in the program; what it prints last is the answer."""
        done = subprocess.run(
            [sys.executable, "-c", f"import json\nfrom {program} import *\n{code}"],
            cwd=REPOSITORY,
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else None

    def objects(self) -> list[str]:
        """Keys of the bucket."""
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())]

    def end(self) -> None:
        super().end()
        if self.s3_network is not None:
            self.s3_network.close()

    def bodies(self, url: str = "") -> list[str]:
        """What SQS holds of the visible messages, as it holds it. They are hidden afterwards."""
        found: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=url or self.url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages"):
            found += [message["Body"] for message in messages]
        return found
