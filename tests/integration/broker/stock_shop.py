"""The same program on kombu's own transport for SQS, with Celery's own settings."""

from celery import Celery, chain, chord, group, signature  # noqa: F401 — for the code that tests run in this module

from tests.integration.broker.shop_tasks import *  # noqa: F403 — the same
from tests.integration.broker.shop_tasks import GIVEN

app = Celery("shop")
app.conf.update(
    broker_url=GIVEN["broker_url"],
    broker_transport_options={
        "region": GIVEN["options"]["region"],
        "is_secure": False,
        # With its own ten and one, this worker would wait for most of the test.
        "wait_time_seconds": 1,
        "polling_interval": 0.1,
        "predefined_queues": {
            name: {"url": queue["url"], "access_key_id": "test", "secret_access_key": "test"}
            for name, queue in GIVEN["options"]["predefined_queues"].items()
        },
    },
    broker_connection_retry_on_startup=True,
    result_backend=GIVEN["result_backend"],
    task_default_queue="jobs",
)
app.set_default()
