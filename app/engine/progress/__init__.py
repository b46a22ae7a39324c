"""Long work goes on where it stopped, and people see how far it is.

Promise: a checkpoint belongs to the work, not to its job: retries, redeliveries, another job for the same work find it. It is saved in the
caller's transaction, together with the work that it speaks of. Of two runs the one that came last goes on, and the other is refused at
its next word. What is shown never falls, though a run that resumes repeats some; showing costs one write a second at most, however often
it is called, and the last word is always written.
Limit: PostgreSQL only, and one run of a work at a time. A state is a position of 16 KiB, not the work. A resumed run repeats what it did
since its last checkpoint: that must be safe. What is shown is the most that was said; what is exact is in the state.
Use: ``with checkpoints.take("reports.report:17", self.request) as track:``, then ``track.checkpoint``, ``track.save(…)`` and
``track.report(…)``; ``reading.read("reports.report:17")`` for pages and answers.
Stores: one row a work in ``progress_checkpoint``; the task ``engine.forget_old_progress`` deletes the old ones.
Emits: log lines ``work resumed``, ``overtaken run refused``.
"""
