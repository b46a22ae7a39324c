"""Celery on SQS as it comes: every setting at its default."""

from celery import Celery

from benchmarks.stacks.job import add_job
from benchmarks.stacks.surroundings import Surroundings

surroundings = Surroundings.of_this_process()
app = Celery("stock_default")
app.conf.update(surroundings.stock_settings())
noop = add_job(app, surroundings)
