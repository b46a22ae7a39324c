"""The same program with our transport as it comes; where results are stored, with our ledger instead of Celery's backend.

No Django application runs; the ledger reads ``ENGINE`` from Django's settings, so they hold that and nothing else.
"""

from datetime import timedelta
from pathlib import Path

from app.engine.broker.program import Program
from benchmarks.stacks.job import add_job
from benchmarks.stacks.surroundings import REGION, Surroundings

NAME_PREFIX = "benchmark"


def use_ledger(app: Program, surroundings: Surroundings) -> None:
    from django.conf import settings

    from app.engine.conf import EngineSettings, engine_settings
    from app.engine.ledger.book import Book
    from app.engine.ledger.register import Register
    from app.topology import TOPOLOGY

    settings.configure(
        ENGINE=EngineSettings(
            topology=TOPOLOGY,
            name_prefix=NAME_PREFIX,
            service="benchmark",
            release="benchmark",
            region=REGION,
            account_id="000000000000",
            endpoint_url=surroundings.address,
            pulse_directory=Path(surroundings.tally).parent,
            result_ttl=timedelta(days=1),
            longest_sqs_delay=timedelta(minutes=15),
            sqs_wait_time=timedelta(seconds=20),
            ecs_agent_url=None,
            ecs_metadata_url=None,
            protect_runs_after=timedelta(seconds=30),
        )
    )
    app.conf.result_backend = "app.engine.ledger.backend:LedgerBackend"
    app.job_register = Register(engine_settings)
    app.job_ledger = Book(app, engine_settings, lambda task_id: str(app.backend.get_key_for_task(task_id)))


surroundings = Surroundings.of_this_process()
app = Program("millrace")
app.conf.update(
    surroundings.common_settings()
    | {
        "broker_url": "sqs://",
        "broker_transport": "app.engine.broker.transport:Transport",
        "broker_transport_options": {
            "region": REGION,
            "endpoint_url": surroundings.address,
            "predefined_queues": {surroundings.queue: {"url": surroundings.queue_url}},
        },
        "task_acks_late": True,
    }
)
if surroundings.stores_results:
    use_ledger(app, surroundings)
noop = add_job(app, surroundings)
