"""Millrace: background jobs on SQS. Start reading at ``app/topology``."""

import gc

#: Python looks for garbage after every 700 new objects. A start makes hundreds of thousands that stay, and spent a quarter of its time looking.
gc.set_threshold(10_000, 10, 10)
