"""Records of enqueued jobs, claims, results and the indexes by which jobs are found, in DynamoDB.

Promise: a job that was sent or delivered twice runs once, and a run that was taken over says nothing any more; a success is
never overwritten; a chord counts each part once and sends one callback; every item expires; a message whose result is not
stored is not deleted: the result is stored again while the table is away, and the job run again if the table refuses it.
Every job that our application enqueues has a record from then on.
No read before a write, one conditional write a run, results and records 25 a request.
Limit: a run that was killed half-way begins again. While the table is away, jobs that were never received before run without
a claim. A run that its time limit kills meanwhile leaves a log line and no state.
Records that neither the ledger nor the database could take are lost with their process.
Use: ``result_backend = "app.engine.ledger.backend:LedgerBackend"`` and ``Program.job_ledger = Book(…)``; ``Program.job_register = Register(…)``;
``search`` and ``reading``.
Stores: table ``ledger``. Emits: log lines ``job not run again``, ``job put off``, ``ledger does not answer, going on without
claims``, ``results not stored, trying again``,
``ledger does not confirm that jobs are enqueued, going on`` and ``enqueued jobs recorded in this process only``.
"""
