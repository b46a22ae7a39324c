"""Celery's SQS transport.

Promise: no failure of a poll, a delete or a requeue ends the worker or stops it from polling; a message that a living
worker holds, running or waiting in its memory, stays invisible to others; ``collect()`` sends ten messages a request.
Limit: delivery is at least once. After an outage longer than the visibility timeout, or a crash, a message comes again; who runs
it only once is a ledger, which the program may set (``Program.job_ledger``, see ``app/engine/job_ledger.py``).
Use: ``broker_transport = "app.engine.broker.transport:Transport"``, see ``settings.py``.
Stores: nothing. Emits: log lines ``sqs poll failed``, ``sqs polls again``, ``lease lost``.
"""
