"""What a client is told when its request is wrong."""

from typing import Any


class Refusal(Exception):
    """Raised by an operation: becomes a 400 with AWS's own error code."""

    def __init__(self, code: str, message: str, item: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.item = item
        """That stood in the way of a condition, if the client wants to see it."""
        self.code = code
        self.message = message
