"""The copies of each worker service follow its queue: beat says how many are missing, Application Auto Scaling adds them.

Promise: in ECS, the beat that leads publishes for each scaled service, every 30 seconds and at once when it begins to lead, how many copies
it needs beyond those that are desired. What cannot be asked is not guessed: the deficit of that service is silent, and CloudWatch's own
slower figures scale it out meanwhile. It delays no tick of beat.
Limit: SQS's counts are approximate. Without a leader, and so without PostgreSQL, nothing is published. Elsewhere than in ECS it is off.
Use: ``ServicePolicy.scaling`` in ``app/topology/services.py``; see ``docs/how-to/tune-scaling.md``. The formula is
``app/topology/scaling.py``.
Stores: nothing; the mean run time of a queue stands in the heartbeats of its workers. Emits: the metric ``CapacityDeficit``; log lines
``capacity deficit published``, ``capacity deficit not published`` and ``capacity deficit published again``.
"""
