"""Where a job is, from its enqueuing to its end, and which jobs there are.

Promise: any id has exactly one state, told from the ledger, the outbox and the queue's policy, or an error that says what could not be
read. "Never enqueued here" is said of an id only if nothing that records jobs knows it and all of them could be read.
Limit: records live for ``RESULT_TTL_HOURS``. A producer that is killed in the middle of ``delay()`` may leave a message without a record;
its job is known when a worker receives it. What other programs send is known from then on, too. Position and wait are estimates.
Use: ``whereabouts.find_job(settings, task_id)``, ``search.find_jobs(settings, Wanted(…))``; ``python -m app.manage job`` and ``jobs``;
``GET /api/jobs``.
Stores: nothing of its own; reads the tables ``ledger`` and ``workers``, the outbox, late records and the queues' depths. Emits: nothing.
"""
