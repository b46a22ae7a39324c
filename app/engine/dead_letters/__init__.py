"""The desk for dead letters: an index of every message in a dead-letter queue, and the ways back.

Promise: a clerk in each outbox relay looks into every dead-letter queue and enters what is there in the ledger, without taking it
away; one, many or a group of them are sent back or discarded, by any number of people at once, each letter once as far as its job's
effects can tell; whoever is killed meanwhile, repeating finishes it. A letter says how often its job was sent back before, and by whom.
Limit: a letter is in the index some 15 seconds after its death, later if very many die or an answer of SQS is lost; one that others have
taken from the queue is gone from the list some minutes later, unless somebody holds letters all the time. Bodies stay in SQS: to send one back is to walk its queue until it comes.
Use: ``Index(settings)`` to read, ``carry_out(settings, Order(…))`` to act; ``python -m app.manage dead_letters``; ``/api/dead-letters``.
Stores: items ``dead-letter-…`` and ``dead-letters-of-…`` of table ``ledger``, and the state DEAD of jobs that no worker could speak for.
Emits: log lines ``dead letter indexed``, ``dead letter gone``, ``dead letter deleted late``, ``dead letters not looked at``,
``dead letter sent back``, ``dead letter discarded``, ``dead letter order begun`` and ``… ended`` with who gave it.
"""
