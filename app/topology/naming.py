"""Logical names become physical ones here, and nowhere else.

Physical names are explicit, because operators type them at night. The price: replacing a named
resource in CloudFormation needs a new name.
"""

import re

from app.topology.errors import TopologyError

DEAD_LETTERS_SUFFIX = "-dead-letters"

#: The narrowest AWS service decides: bucket names allow no capitals and no underscore, and SQS names end at 80 characters.
_PREFIX = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if AWS accepts every name that will be made from it; raise :class:`TopologyError` otherwise."""
    if not _PREFIX.fullmatch(prefix):
        raise TopologyError(f"NAME_PREFIX: expected 3 to 32 lower-case letters, digits and dashes, beginning with a letter, got {prefix!r}")
    return prefix


def queue_name(prefix: str, queue: str) -> str:
    return f"{prefix}-{queue}"


def dead_letter_queue_name(prefix: str, queue: str) -> str:
    return queue_name(prefix, queue) + DEAD_LETTERS_SUFFIX


def table_name(prefix: str, table: str) -> str:
    return f"{prefix}-{table}"


def bucket_name(prefix: str, bucket: str) -> str:
    """Bucket names are shared by the whole world: choose a prefix that carries your company's name."""
    return f"{prefix}-{bucket}"


def cluster_name(prefix: str) -> str:
    """The ECS cluster of every service."""
    return prefix


def service_name(prefix: str, service: str) -> str:
    return f"{prefix}-{service}"


def log_group_name(prefix: str, source: str) -> str:
    """A service's, or that of another source of lines."""
    return f"/{prefix}/{source}"


def load_balancer_name(prefix: str) -> str:
    """In front of the web service. AWS takes 32 characters, and so does a prefix."""
    return prefix


def database_identifier(prefix: str) -> str:
    """The Aurora cluster."""
    return f"{prefix}-database"


def secret_name(prefix: str, variable: str) -> str:
    """Of the secret that a container gets as that environment variable."""
    return f"{prefix}/{variable.lower().replace('_', '-')}"


def alarm_name(prefix: str, alarm: str) -> str:
    return f"{prefix}-{alarm}"


def dashboard_name(prefix: str, board: str) -> str:
    return f"{prefix}-{board}"


def budget_name(prefix: str) -> str:
    return prefix
