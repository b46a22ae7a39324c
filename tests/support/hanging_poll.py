"""A worker that imports this (``--include``) has one poll that never ends.

No network can do that to it, as libcurl has a time limit for everything; a bug of libcurl's or the kernel's could.
"""

import threading
from typing import Any

from app.engine.aws.wire import SqsClient

_receive = SqsClient.receive_message
_first = iter([True])


def _hang_once(self: SqsClient, **parameters: Any) -> dict[str, Any]:
    if next(_first, False):
        threading.Event().wait()
    return _receive(self, **parameters)


SqsClient.receive_message = _hang_once  # type: ignore[method-assign]
