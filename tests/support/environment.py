"""The environment of every test process: complete and valid, with nothing behind its addresses until a fixture starts it."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

REPOSITORY = Path(__file__).resolve().parents[2]
ACCOUNT_ID = "123456789012"  # moto's
REGION = "eu-central-1"


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


#: Where the session's servers will listen, if a test asks for them. Chosen before Django reads its settings.
AWS_PORT = free_port()
GATEWAY_PORT = free_port()
PARTNER_PORT = free_port()


def environment(**changes: str) -> dict[str, str]:
    """Every variable that the application requires, with these changes."""
    return {
        "NAME_PREFIX": "millrace-test",
        "SECRET_KEY": "a-key-for-tests-only-" + "0123456789" * 4,
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": "1",
        "DATABASE_PASSWORD": "",
        "AWS_REGION": REGION,
        "AWS_ACCOUNT_ID": ACCOUNT_ID,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{AWS_PORT}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "EMAIL_URL": f"file://{gettempdir()}/millrace-test-mail",
        "EMAIL_FROM": "shop@example.com",
        "STRIPE_API_KEY": "sk_test_" + "0" * 24,
        "STRIPE_API_BASE": f"http://127.0.0.1:{GATEWAY_PORT}",
        "PARTNER_API_KEY": "partner-key-for-tests",
        "PARTNER_API_BASE": f"http://127.0.0.1:{PARTNER_PORT}",
        "OUTBOUND_ALLOWED_ADDRESSES": f"127.0.0.1:{PARTNER_PORT}",
        "WEB_PROCESSES": "1",
        "TASK_DEFAULT_RATE_LIMIT": "",
        "IMAGES_RATE_LIMIT": "",
        # A worker that stops waits for its last receive, and every test waits for its workers.
        "SQS_WAIT_TIME_SECONDS": "2",
        **changes,
    }


def install(values: Mapping[str, str]) -> None:
    """Make this the environment of the test process itself, before Django reads its settings."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "DJANGO_", "STRIPE_", "PARTNER_", "OUTBOUND_", "DATABASE_")):
            del os.environ[name]
    os.environ.update(values)
