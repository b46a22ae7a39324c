"""What runs once and ends, besides the services."""

from datetime import timedelta

from app.topology.policies import OneOffPolicy

MIGRATE = OneOffPolicy(
    name="migrate",
    purpose="Brings the database to the release's schema, before any service runs the release.",
    command=("python", "-m", "app.manage", "migrate", "--noinput"),
    time_limit=timedelta(minutes=50),
)

ONE_OFFS = (MIGRATE,)
