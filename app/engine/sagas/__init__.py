"""Work of several steps that is done as a whole, or undone as a whole, although no transaction is around it.

Promise: each step is run until it is done, in order, by whichever worker is alive. If one fails for good, what was done is compensated in
reverse order. Every move is a row of PostgreSQL together with the message that goes on from it, so a crash between any two statements is
repaired by redelivery, and what no message carries any more is found within minutes. No worker waits for another.
Limit: steps are run at least once. A step whose task says ``atomic_step`` has its effect in PostgreSQL exactly once; any other keeps itself
harmless, by keys that come from its arguments, which are fixed when the saga starts. Meanwhile everybody sees half-done work.
Use: ``declare(SagaDefinition(name="orders.fulfil", steps=(…)))`` in an app's ``sagas.py``; ``start("orders.fulfil", subject=order_id)`` in a
service's transaction; a step says no by raising ``Refused``. ``python -m app.manage sagas list | show | resume``, and the admin.
Stores: ``sagas_saga``, one row a saga, and ``sagas_act``, one row a step and a compensation, for 90 days after its end
(``engine.forget_old_sagas``).
Emits: log lines ``saga started``, ``saga turns back``, ``saga ended``, ``saga stuck``, ``saga resumed``, ``saga act published again``.
"""
