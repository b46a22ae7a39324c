"""What is done with images."""

import uuid
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.base import File
from django.db import transaction
from django.utils import timezone

from app.engine.outbox.publisher import publish
from app.workload.images import files
from app.workload.images.errors import ImageUnknown, Refused, UploadForgotten
from app.workload.images.models import Image
from app.workload.images.thumbnails import Made, make_thumbnails

LARGEST_FILE_BYTES = 25 * 1024 * 1024
UPLOAD_TAKES_AT_MOST = timedelta(hours=1)
_LONGEST_NAME = 255


def store_upload(*, owner: AbstractBaseUser, image_id: uuid.UUID, name: str, content: "File[bytes]") -> None:
    """Store an upload's file; :func:`accept_upload` makes it an image. Asked again with the same id, it stores the same file again, or
    nothing if it is an image by now.

    The row is committed first: a file that nobody came back for is found by it. Raises
    :class:`~app.engine.aws.errors.AwsUnavailable`.
    """
    row, _ = Image.objects.get_or_create(
        pk=image_id, defaults={"owner_id": owner.pk, "name": name[:_LONGEST_NAME], "byte_count": content.size}
    )
    if row.state == Image.State.UPLOADING:
        files.put(image_id, files.ORIGINAL, content)


def accept_upload(image_id: uuid.UUID) -> Image:
    """Make a stored upload an image: its state and the message that makes its thumbnails are there together or not at all."""
    with transaction.atomic():
        image = Image.objects.select_for_update().filter(pk=image_id).first()
        if image is None:
            raise UploadForgotten(f"The upload {image_id} took longer than {UPLOAD_TAKES_AT_MOST}, and was cleared away. Send it again.")
        if image.state == Image.State.UPLOADING:
            image.state = Image.State.UPLOADED
            image.save(update_fields=["state"])
            publish("images.process_image", image_id=str(image.pk))
    return image


def discard_upload(image_id: uuid.UUID) -> None:
    """Clear away an upload that is not accepted; an image stays."""
    with transaction.atomic():
        if Image.objects.filter(pk=image_id, state=Image.State.UPLOADING).delete()[0]:
            publish("images.delete_files", image_id=str(image_id))


def process_image(image_id: str) -> Image | None:
    """Bring an image to its end and return it; ``None`` if it was deleted, and then its files are, too.

    No lock is held while it is worked on: twins make the same files under the same keys, and the first to finish decides. What is refused is
    an outcome. Raises :class:`~app.engine.aws.errors.AwsUnavailable`.
    """
    pk = _parse_id(image_id)
    image = Image.objects.filter(pk=pk).first()
    if image is None:
        return _gone(pk)
    if image.is_final:
        return image
    made: Made | Refused
    try:
        made = _make(pk)
    except Refused as refusal:
        made = refusal
    with transaction.atomic():
        image = Image.objects.select_for_update().filter(pk=pk).first()
        if image is not None and not image.is_final:
            _finish(image, made)
    return _gone(pk) if image is None else image


def _make(pk: uuid.UUID) -> Made:
    try:
        original = files.fetch(pk, files.ORIGINAL)
    except FileNotFoundError as error:
        raise Refused("file-missing", "Its file is not there.") from error
    with original:
        made = make_thumbnails(original)
    for thumbnail in made.thumbnails:
        files.put(pk, thumbnail.size, thumbnail.content)
    return made


def _finish(image: Image, made: Made | Refused) -> None:
    image.finished_at = timezone.now()
    if isinstance(made, Refused):
        image.state = Image.State.REFUSED
        image.refusal_code, image.refusal_reason = made.code, str(made).replace("\0", "�")[:500]
    else:
        image.state = Image.State.READY
        image.kind, image.width, image.height = made.kind, made.width, made.height
        image.thumbnails = {each.size: {"width": each.width, "height": each.height, "bytes": len(each.content)} for each in made.thumbnails}
    image.save()


def _gone(pk: uuid.UUID) -> Image | None:
    """Deleted while it was worked on: what was made since is deleted after it."""
    files.delete_all(pk)
    return None


def delete_image(image: Image) -> None:
    """Delete an image; its files follow after the commit."""
    with transaction.atomic():
        image_id = image.pk
        image.delete()
        publish("images.delete_files", image_id=str(image_id))


def delete_files(image_id: str) -> int:
    """Delete the files of a deleted image and return how many there were."""
    pk = _parse_id(image_id)
    return 0 if Image.objects.filter(pk=pk).exists() else files.delete_all(pk)


def clear_unfinished(now: datetime | None = None, batch: int = 100, batches: int = 10) -> int:
    """Delete uploads that nobody came back for, with their files, and return how many; at most ``batches`` of ``batch``."""
    forgotten = Image.objects.filter(state=Image.State.UPLOADING, created_at__lt=(now or timezone.now()) - UPLOAD_TAKES_AT_MOST)
    cleared = 0
    for _ in range(batches):
        with transaction.atomic():
            found = list(forgotten.order_by("created_at").select_for_update(skip_locked=True).values_list("pk", flat=True)[:batch])
            Image.objects.filter(pk__in=found).delete()
            for pk in found:
                publish("images.delete_files", image_id=str(pk))
        cleared += len(found)
        if len(found) < batch:
            break
    return cleared


def _parse_id(image_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(image_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise ImageUnknown(f"{image_id!r:.100} is not the id of an image; expected a UUID. Discard this message.") from error
