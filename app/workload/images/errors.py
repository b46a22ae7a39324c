"""What goes wrong with images. One that cannot be made smaller does not: it is refused, which is an outcome."""

from app.engine.errors import PermanentError, TransientError


class ImageUnknown(PermanentError):
    """What stands in the message is no id of an image: it was made by hand."""


class UploadForgotten(TransientError):
    """The upload took so long that it was cleared away. Sent again, it begins anew."""


class Refused(Exception):
    """An outcome and no error of ours: this is no image that we make thumbnails of. ``code`` is for programs, the message for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
