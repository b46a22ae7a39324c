"""The stacks under test: the same job in tiny programs that differ only in their settings, or in what runs them.

Add one: a module here that makes a ``noop``, and an entry in ``registry.py``.
"""

from benchmarks.stacks.registry import CELERY_REDIS, DRAMATIQ_SQS, MILLRACE, STACKS, STOCK_DEFAULT, STOCK_TUNED, Stack, Way

__all__ = ["CELERY_REDIS", "DRAMATIQ_SQS", "MILLRACE", "STACKS", "STOCK_DEFAULT", "STOCK_TUNED", "Stack", "Way"]
