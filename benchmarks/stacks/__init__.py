"""The stacks under test: the same job in tiny Celery programs that differ only in their settings.

Add one: a module here that makes an ``app``, and an entry in ``registry.py``.
"""

from benchmarks.stacks.registry import MILLRACE, STACKS, STOCK_DEFAULT, STOCK_TUNED, Stack

__all__ = ["MILLRACE", "STACKS", "STOCK_DEFAULT", "STOCK_TUNED", "Stack"]
