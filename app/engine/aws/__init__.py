"""Talking to AWS: clients, queue addresses, depths, and the provisioner for simulated AWS.

Limit: AWS's own errors stop here. Above, people see :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``.
Use: ``with translated("read the list of workers"): clients.dynamodb(settings)…``; ``queue_url(settings, "default")``.
Stores: nothing. Emits: nothing.
"""
