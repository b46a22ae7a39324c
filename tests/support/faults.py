"""What a test may do to the network and to AWS, in words; ``StrictSqs`` does it."""

from enum import Enum


class Network(Enum):
    """The state of the whole network between a deployment and AWS, every service of it."""

    HEALTHY = "bytes pass"
    REFUSED = "connections are refused, open ones are reset"
    SILENT = "connections are accepted and nothing is ever answered"


class Fault(Enum):
    """How one operation fails. All but LOST_ANSWER, SLOW and PARTLY keep the request from AWS."""

    UNAVAILABLE = "503 ServiceUnavailable"
    ERROR = "500 InternalError"
    THROTTLED = "400 RequestThrottled, of other services ThrottlingException"
    DENIED = "403 AccessDenied"
    EXPIRED = "403 ExpiredToken"
    REFUSED = "the port does not listen, open connections are reset"
    RESET = "the request is read and its connection is reset"
    SILENT = "the request is read and never answered"
    LOST_ANSWER = "AWS does what was asked; its answer is lost and the connection reset"
    SLOW = "the request takes some seconds to get there"
    PARTLY = (
        "of DynamoDB's batches the first half is done and the rest comes back as unprocessed; its single writes are throttled half the time"
    )
    GARBAGE = "200 with a page of HTML"
