"""Celery's settings follow from the topology, and lose nothing."""

from typing import Any

import pytest
from celery import current_app

from app.engine.aws.queue_urls import dead_letter_queue_url, queue_url
from app.engine.broker.errors import UnroutedTask
from app.engine.broker.options import BrokerOptions
from app.engine.broker.settings import celery_settings
from app.engine.conf import engine_settings
from app.topology import TOPOLOGY

SETTINGS = engine_settings()
CELERY = celery_settings(SETTINGS)


def test_every_queue_is_known_by_the_address_that_the_topology_gives_it() -> None:
    assert CELERY["broker_transport_options"]["predefined_queues"] == {
        queue.name: {
            "url": queue_url(SETTINGS, queue.name),
            "dead_letter_url": dead_letter_queue_url(SETTINGS, queue.name),
            "weight": queue.weight,
        }
        for queue in TOPOLOGY.queues
    }
    assert {queue.name for queue in CELERY["task_queues"]} == {queue.name for queue in TOPOLOGY.queues}


@pytest.mark.parametrize(
    "task", ["payments.capture", "payments.send_confirmation", "mailings.send", "images.resize", "engine.debug_task", "celery.chord"]
)
def test_a_task_travels_where_the_topology_says(task: str) -> None:
    (route,) = CELERY["task_routes"]
    queue = TOPOLOGY.queue_for(task)

    assert queue is not None
    assert route(task, (), {}, {}, task=None) == {"queue": queue.name}
    assert current_app.amqp.router.route({}, task)["queue"].name == queue.name


def test_a_task_without_a_route_is_refused_when_it_is_sent() -> None:
    (route,) = CELERY["task_routes"]

    with pytest.raises(UnroutedTask, match=r"'paymnts\.capture'.*app/topology/queues\.py"):
        route("paymnts.capture", (), {}, {})


def test_a_queue_that_the_caller_names_is_the_queue() -> None:
    (route,) = CELERY["task_routes"]

    assert route("somebody.elses_task", (), {}, {"queue": "emails"}) is None


def test_no_queue_is_made_up_for_a_name_that_nobody_declared() -> None:
    assert CELERY["task_create_missing_queues"] is False


@pytest.mark.parametrize("setting", ["accept_content", "result_accept_content"])
def test_nothing_but_json_is_accepted(setting: str) -> None:
    assert CELERY[setting] == ["json"]


@pytest.mark.parametrize("setting", ["task_serializer", "result_serializer", "event_serializer"])
def test_nothing_but_json_is_written(setting: str) -> None:
    assert CELERY[setting] == "json"


def test_the_word_pickle_stands_nowhere() -> None:
    assert "pickle" not in repr(CELERY)


def test_a_message_is_deleted_after_its_job_and_given_back_when_the_worker_dies() -> None:
    assert CELERY["task_acks_late"] is True
    assert CELERY["task_reject_on_worker_lost"] is True


def test_a_result_that_cannot_be_stored_is_tried_again() -> None:
    assert CELERY["result_backend_always_retry"] is True
    assert CELERY["result_expires"] == SETTINGS.result_ttl


def test_the_transport_accepts_what_it_is_told() -> None:
    read = BrokerOptions.read(CELERY["broker_transport_options"])

    assert read.wait_time_seconds == SETTINGS.sqs_wait_time.total_seconds()
    assert read.longest_delay_seconds == SETTINGS.longest_sqs_delay.total_seconds()
    assert read.claim_check is not None
    assert read.claim_check.bucket.startswith(SETTINGS.name_prefix)


def test_a_failed_run_is_rejected_so_that_its_message_goes_to_the_dead_letters() -> None:
    assert CELERY["task_acks_on_failure"] is False
    assert CELERY["task_acks_on_timeout"] is True


def test_what_names_no_queue_goes_to_the_first() -> None:
    assert CELERY["task_default_queue"] == TOPOLOGY.queues[0].name


def test_celery_s_one_limit_for_all_queues_is_not_set() -> None:
    assert {"task_time_limit", "task_soft_time_limit"}.isdisjoint(CELERY)


@pytest.mark.parametrize("name", sorted(CELERY))
def test_celery_knows_every_setting_by_that_name(name: str) -> None:
    known: Any = current_app.conf

    assert name in known
