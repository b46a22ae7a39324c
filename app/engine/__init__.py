"""How tasks run. Names no queue and no task of the workload.

======================  ==============================================================
``aws``                 one client per service and process, queue URLs, local provisioner
``logs``, ``metrics``   structured JSON lines without arguments; EMF metrics
``broker``              Celery's SQS transport: survives outages, extends visibility, sends in batches
``ledger``              Celery's result backend on DynamoDB, and the list of the latest tasks
``outbox``              send if and only if committed
``control``             remote control of workers: inspect, revoke, pause, drain
``workers``             who is alive, on which queues, running what
``schedules``           periodic tasks
``task``, ``application``, ``health``   put the above together
======================  ==============================================================
"""
