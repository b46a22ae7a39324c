"""Errors as AWS's JSON protocol writes them."""

import json

from tests.support.faults import Fault
from tests.support.strict_sqs.call import SQS, Call
from tests.support.strict_sqs.http11 import Answer, answer
from tests.support.strict_sqs.refusals import Refusal

_SERVICE_ERRORS = {
    # fault: status, code at SQS, code elsewhere
    Fault.UNAVAILABLE: (503, "ServiceUnavailable", "ServiceUnavailable"),
    Fault.ERROR: (500, "InternalError", "InternalServerError"),
    Fault.THROTTLED: (400, "RequestThrottled", "ThrottlingException"),
    Fault.DENIED: (403, "AccessDenied", "AccessDeniedException"),
    Fault.EXPIRED: (403, "ExpiredToken", "ExpiredTokenException"),
}
_GARBAGE = b"<html><head><title>Welcome</title></head><body>You are behind a proxy.</body></html>"


def refused(refusal: Refusal) -> Answer:
    return _error(400, f"com.amazonaws.sqs#{refusal.code}", refusal.message, f"{refusal.query_code};Sender")


def failed(call: Call, fault: Fault) -> Answer | None:
    """The answer that a fault makes up; ``None`` for a fault of the network, which answers nothing."""
    if fault is Fault.GARBAGE:
        return answer(200, _GARBAGE, content_type="text/html")
    if fault not in _SERVICE_ERRORS:
        return None
    status, sqs_code, other_code = _SERVICE_ERRORS[fault]
    party = "Receiver" if status >= 500 else "Sender"
    if call.service == SQS:
        return _error(status, f"com.amazonaws.sqs#{sqs_code}", f"{fault.value}, as the test asked", f"{sqs_code};{party}")
    return _error(status, f"com.amazonaws#{other_code}", f"{fault.value}, as the test asked")


def _error(status: int, kind: str, message: str, query_error: str | None = None) -> Answer:
    body = json.dumps({"__type": kind, "message": message}).encode()
    return answer(status, body, **({"x_amzn_query_error": query_error} if query_error else {}))
