"""Celery on Redis, with as many messages in memory as the other tuned stack."""

from celery import Celery

from benchmarks.stacks.job import add_job
from benchmarks.stacks.surroundings import Surroundings

IN_FLIGHT = 64
_BROKER_DATABASE = 0
#: Counted apart: benchmarks/redis_server/control.py.
_RESULT_DATABASE = 1

surroundings = Surroundings.of_this_process()
app = Celery("celery_redis")
app.conf.update(
    surroundings.common_settings()
    | {
        "broker_url": f"{surroundings.address}/{_BROKER_DATABASE}",
        "worker_prefetch_multiplier": IN_FLIGHT // surroundings.concurrency,
        "task_acks_late": True,
    }
)
if surroundings.stores_results:
    app.conf.result_backend = f"{surroundings.address}/{_RESULT_DATABASE}"
noop = add_job(app, surroundings)
