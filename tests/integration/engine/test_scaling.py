"""Beat tells CloudWatch how many copies are missing: real beats on a simulated AWS."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from app.engine.scaling.publisher import LOOK_SECONDS
from app.engine.schedules.leadership import TERM
from app.topology import TOPOLOGY
from app.topology.naming import cluster_name, service_name
from tests.support.environment import REGION
from tests.support.eventually import eventually
from tests.support.stack import Service, Stack

#: Another beat takes over within its term and looks once a second; three times that for a loaded machine.
TAKEN_OVER_WITHIN = 3 * (TERM.total_seconds() + 3)
#: Nobody answers there, and beat asks nobody: that it is set says that this is ECS.
IN_ECS = {"ECS_AGENT_URI": "http://127.0.0.1:1"}
DESIRED = 2


def client(stack: Stack, service: str) -> Any:
    return boto3.client(service, endpoint_url=stack.aws_url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def deploy_services(stack: Stack) -> None:
    """Two copies of each scaled service, as CloudFormation would make them."""
    prefix = stack.environment["NAME_PREFIX"]
    ecs = client(stack, "ecs")
    ecs.create_cluster(clusterName=cluster_name(prefix))
    ecs.register_task_definition(family=prefix, containerDefinitions=[{"name": "worker", "image": "worker", "memory": 512}])
    for service in TOPOLOGY.services:
        if service.scaling is not None:
            ecs.create_service(
                cluster=cluster_name(prefix),
                serviceName=service_name(prefix, service.name),
                taskDefinition=prefix,
                desiredCount=DESIRED,
            )


def deficits(stack: Stack, service: str, since: datetime) -> list[float]:
    """As an alarm would see them, the newest first."""
    found = client(stack, "cloudwatch").get_metric_data(
        MetricDataQueries=[
            {
                "Id": "deficit",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Millrace",
                        "MetricName": "CapacityDeficit",
                        "Dimensions": [
                            {"Name": "Deployment", "Value": stack.environment["NAME_PREFIX"]},
                            {"Name": "Service", "Value": service},
                        ],
                    },
                    "Period": 1,
                    "Stat": "Maximum",
                },
            }
        ],
        StartTime=since,
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        ScanBy="TimestampDescending",
    )["MetricDataResults"][0]["Values"]
    return [float(value) for value in found]


def says(beat: Service, message: str) -> bool:
    return any(line.get("message") == message for line in beat.lines())


def publishes(beat: Service) -> bool:
    return says(beat, "capacity deficit published")


def leader(stack: Stack) -> Service | None:
    rows = stack.query("SELECT leader FROM schedules_leadership WHERE held_until > now()")
    running = {beat.process.pid: beat for beat in stack.services if beat.is_running}
    return running.get(int(rows[0][0].rpartition(":")[2] or 0)) if rows else None


def test_only_the_beat_that_leads_publishes_and_the_next_goes_on_when_it_is_killed(stack: Stack) -> None:
    deploy_services(stack)
    for _ in range(60):
        stack.sqs.send_message_batch(
            QueueUrl=stack.queue_url("default"), Entries=[{"Id": str(number), "MessageBody": "a job"} for number in range(10)]
        )
    begin = datetime.now(UTC) - timedelta(seconds=1)

    beats = stack.start("beat", "beat", **IN_ECS)
    looked_at = time.monotonic() + 3 * LOOK_SECONDS
    first = eventually(lambda: leader(stack), lambda found: found is not None and publishes(found), within=TAKEN_OVER_WITHIN)
    assert first is not None

    # 600 jobs of a second within 30: 20 slots, 5 copies. Two are desired. The others have nothing to do, and one copy at least stays.
    assert deficits(stack, "worker-default", begin)[0] == 3
    assert deficits(stack, "worker-emails", begin)[0] == 1 - DESIRED
    assert deficits(stack, "worker-reports", begin)[0] == 0 - DESIRED

    eventually(lambda: time.monotonic() > looked_at)  # the other has had its chances
    # On a busy machine the leadership may have changed already. Whoever published had it.
    assert all(says(beat, "beat leads") for beat in beats if publishes(beat))

    first.kill()
    killed_at = datetime.now(UTC)
    (other,) = (beat for beat in beats if beat is not first)

    eventually(lambda: leader(stack) is other and deficits(stack, "worker-default", killed_at), within=TAKEN_OVER_WITHIN)
    assert set(deficits(stack, "worker-default", killed_at)) == {3}

    assert other.stop() == 0
