"""The queues: which tasks travel there, how long they may run, when a person is woken.

Each gets a dead-letter twin, a worker service, an age alarm and a row in the console by standing here.
"""

from datetime import timedelta

from app.topology.policies import QueuePolicy

QUEUES = (
    QueuePolicy(
        name="default",
        purpose="Money and everything that has no queue of its own.",
        routes=("payments.*", "orders.*", "housekeeping.*", "integrations.*", "api.*", "engine.*", "celery.*"),
    ),
    QueuePolicy(
        name="emails",
        purpose="Mail to customers.",
        routes=("mailings.*", "notifications.send_*", "orders.send_*", "payments.send_*"),
        soft_time_limit=timedelta(minutes=9),
        time_limit=timedelta(minutes=10),
        alarm_age=timedelta(minutes=10),
    ),
    QueuePolicy(
        name="cpu_intensive",
        purpose="Work that keeps a core busy.",
        routes=("images.*",),
        visibility_timeout=timedelta(minutes=2),
        alarm_age=timedelta(minutes=15),
    ),
    QueuePolicy(
        name="reports",
        purpose="Large reports that checkpoint and resume.",
        routes=("reports.*",),
        soft_time_limit=timedelta(minutes=110),
        time_limit=timedelta(hours=2),
        visibility_timeout=timedelta(minutes=2),
        max_receive_count=10,
        # SQS counts a message that a worker holds, too: longer than the longest run.
        alarm_age=timedelta(hours=3),
    ),
    QueuePolicy(
        name="notifications",
        purpose="What a person is waiting to see.",
        routes=("notifications.*",),
        soft_time_limit=timedelta(seconds=50),
        time_limit=timedelta(minutes=1),
        alarm_age=timedelta(minutes=2),
    ),
)
