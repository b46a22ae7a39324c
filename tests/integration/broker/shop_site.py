"""The shop behind a web server that loads it before it forks: its first message is sent by the parent of all workers."""

from collections.abc import Callable, Iterable
from typing import Any

import tests.integration.broker.shop  # noqa: F401 — makes itself the application of the tasks
from tests.integration.broker.shop_tasks import note

note.delay("preloaded")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    job = int(environ["QUERY_STRING"])
    note.delay(job)
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
