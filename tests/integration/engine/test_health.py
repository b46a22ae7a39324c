"""Health, as load balancers, containers and people ask for it."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from app.topology import TOPOLOGY
from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually
from tests.support.faults import Network
from tests.support.stack import Stack


def _get(stack: Stack, path: str, **headers: str) -> Any:
    return stack.request("GET", path, headers=headers)


@pytest.fixture(scope="module")
def tidy_site(site: Any) -> Any:
    """Without the dead letters that other tests have left there."""
    for queue in TOPOLOGY.queues:
        site.stack.sqs.purge_queue(QueueUrl=site.stack.dead_letter_url(queue.name))
    return site


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/workers"])
def test_health_answers_a_word_to_anybody(tidy_site: Any, path: str) -> None:
    site = tidy_site
    answer = eventually(lambda: _get(site.stack, path), lambda found: found.status == 200, within=40)

    assert answer.body == {"status": "ok"}


def test_health_answers_a_load_balancer_that_asks_by_address(site: Any) -> None:
    assert _get(site.stack, "/health/ready", Host="10.0.3.17:8000").status == 200
    assert _get(site.stack, "/api/payments", Host="10.0.3.17:8000").status == 400


def test_staff_see_what_the_word_stands_for(site: Any) -> None:
    done = site.stack.python(
        "import json\nfrom django.test import Client\nfrom django.contrib.auth import get_user_model\n"
        "client = Client()\nclient.force_login(get_user_model().objects.get(username='operator'))\n"
        "print(json.dumps([client.get('/health/' + name).json() for name in ('ready', 'workers')]))"
    )
    assert done.returncode == 0, done.stderr
    ready, workers = json.loads(done.stdout.strip().splitlines()[-1])

    assert ready["dependencies"] == {"database": "ok", "sqs": "ok", "dynamodb": "ok"}
    assert workers["summary"]["live_workers"] == 5
    assert {queue["queue"] for queue in workers["queues"]} == {"default", "emails", "cpu_intensive", "reports", "notifications"}
    assert {"visible", "in_flight", "delayed", "dead", "oldest"} <= set(workers["queues"][0])


def test_ready_and_workers_are_503_while_sqs_is_away_and_live_is_not(stack: Any) -> None:
    stack.start("web")
    stack.network.become(Network.REFUSED)

    assert _get(stack, "/health/live").status == 200
    assert _get(stack, "/health/ready").status == 503
    assert _get(stack, "/health/workers").status == 503


def test_ready_is_503_within_seconds_when_aws_is_silent(stack: Any) -> None:
    stack.start("web")
    stack.network.become(Network.SILENT)

    started = time.monotonic()
    answer = _get(stack, "/health/ready")

    assert answer.status == 503
    assert time.monotonic() - started < 4


def test_workers_is_503_when_a_queue_has_nobody_who_works(stack: Any) -> None:
    stack.start("web")

    assert _get(stack, "/health/ready").status == 200
    assert _get(stack, "/health/workers").status == 503


def test_the_container_probe_follows_the_pulse_of_its_service(stack: Any) -> None:
    (relay,) = stack.start("outbox-relay")

    def probe() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app.config.probe"],
            cwd=REPOSITORY,
            env=stack.environment | {"SERVICE": "outbox-relay"},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    healthy = probe()
    relay.kill()
    (stack.directory / "pulse" / "outbox-relay.pulse").unlink()
    dead = probe()

    assert (healthy.returncode, healthy.stdout) == (0, "outbox-relay: healthy\n")
    assert (dead.returncode, dead.stdout) == (1, "outbox-relay: no pulse yet\n")
