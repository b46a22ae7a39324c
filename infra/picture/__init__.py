"""A picture of a stage, drawn from its templates: ``scripts/synth prod && .venv/bin/python -m infra.picture``.

Promise: every queue, table, bucket, service and task that the templates have is in it, and every line is a property of a template: who may
receive, send, read and write is what the roles' policies say.
Limit: it shows what may happen, not what does; and of networks, functions and alarms only that there are some.
"""
