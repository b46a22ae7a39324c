"""A thumbnail on its way to whoever may see it. Whether they may, the caller has asked."""

from django.http import FileResponse

from app.workload.images import files
from app.workload.images.models import Image
from app.workload.images.thumbnails import CONTENT_TYPE, SIZES

_SECONDS_IN_A_BROWSER = 3600


def thumbnails_of(image: Image) -> dict[str, dict[str, int]]:
    """What there is to hand out, the smallest first; PostgreSQL's JSON keeps no order."""
    return {size: image.thumbnails[size] for size in reversed(SIZES) if size in image.thumbnails}


def thumbnail_response(image: Image, size: str) -> FileResponse | None:
    """A stream of the file; ``None`` if there is no such thumbnail. Raises :class:`~app.engine.aws.errors.AwsUnavailable`."""
    if size not in image.thumbnails:
        return None
    try:
        stored = files.fetch(image.pk, size)
    except FileNotFoundError:
        return None
    response = FileResponse(stored, content_type=CONTENT_TYPE, filename=f"{size}.webp")
    # A stable key holds a stable file; private, because the next one at this computer may not see it.
    response["Cache-Control"] = f"private, max-age={_SECONDS_IN_A_BROWSER}"
    return response
