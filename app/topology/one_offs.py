"""What runs once and ends, besides the services."""

from datetime import timedelta

from app.topology import access
from app.topology.policies import LONGEST_STOP_TIMEOUT, OneOffPolicy

MIGRATE = OneOffPolicy(
    name="migrate",
    purpose="Brings the database to the release's schema, before any service runs the release.",
    command=("python", "-m", "app.manage", "migrate", "--noinput"),
    time_limit=timedelta(minutes=50),
    holds_up_deployment=True,
)

OPERATOR = OneOffPolicy(
    name="operator",
    purpose="Runs one of Django's commands for a person, who starts it by scripts/operate and reads what it says.",
    command=("python", "-m", "app.operate"),
    # Of a slow redrive; somebody may have closed the lid on it.
    time_limit=timedelta(hours=12),
    asked_every=timedelta(seconds=2),
    # It finishes the messages in hand.
    stop_timeout=LONGEST_STOP_TIMEOUT,
    keeps_every_line=True,
    grants=access.OPERATOR,
)

ONE_OFFS = (MIGRATE, OPERATOR)
