"""One JSON object a line, with the task or request it belongs to, and never a task's arguments.

Promise: every line of a run carries task id, name, queue and attempt; every line of a request its request id; a run is
one ``task started`` and one ``task ended`` line. Limit: what a task puts into its own messages is the task's business.
Use: ``logging.getLogger(__name__).info("payment captured", extra={"payment": …})``.
Stores: nothing. Emits: lines on stderr.
"""
