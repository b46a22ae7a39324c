"""Celery on SQS with what its documentation, and reading its source, can give it."""

from celery import Celery

from benchmarks.stacks.job import add_job
from benchmarks.stacks.surroundings import Surroundings

#: As many messages in memory as the other tuned stack.
IN_FLIGHT = 64

surroundings = Surroundings.of_this_process()
app = Celery("stock_tuned")
app.conf.update(surroundings.stock_settings())
app.conf.broker_transport_options |= {
    # kombu 5.7 otherwise sleeps a second whenever the prefetch window is full.
    "polling_interval": 0,
    "wait_time_seconds": 20,
}
app.conf.worker_prefetch_multiplier = IN_FLIGHT // surroundings.concurrency
app.conf.task_acks_late = True
noop = add_job(app, surroundings)
