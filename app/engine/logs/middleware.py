"""A request id for every request, in every line and in the answer."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from app.engine.logs import context

logger = logging.getLogger("app.engine.requests")
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{8,100}")


class RequestContext:
    """Takes ``X-Request-Id`` or the load balancer's trace id if sane, else makes one. Logs each request without query and body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get("X-Request-Id") or request.headers.get("X-Amzn-Trace-Id", "").removeprefix("Root=")
        request_id = offered if _ACCEPTED_ID.fullmatch(offered) else uuid.uuid4().hex
        with context.bound(request_id=request_id):
            started = time.monotonic()
            response = self._get_response(request)
            response["X-Request-Id"] = request_id
            if not request.path.startswith("/health/"):
                logger.info(
                    "request",
                    extra={
                        "method": request.method,
                        "path": request.path,
                        "status": response.status_code,
                        "duration_ms": round((time.monotonic() - started) * 1000),
                    },
                )
            return response
