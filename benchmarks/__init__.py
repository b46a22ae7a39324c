"""How fast we are, and what it costs, beside stock Celery and others: on one machine, in one run.

Limit: ratios travel, absolute numbers do not; there is no TLS and no real network. Nothing of the product imports this room.
Use: ``scripts/benchmark --help``. Writes: ``benchmarks/RESULTS.md``.
"""
