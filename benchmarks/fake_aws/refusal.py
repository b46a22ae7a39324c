"""What a client is told when its request is wrong."""


class Refusal(Exception):
    """Raised by an operation: becomes a 400 with AWS's own error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
