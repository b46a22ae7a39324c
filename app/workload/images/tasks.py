from celery import shared_task
from django.conf import settings

from app.workload.images import services


@shared_task(name="images.process_image", rate_limit=settings.IMAGES_RATE_LIMIT)
def process_image(*, image_id: str) -> dict[str, str]:
    """Make an image's thumbnails.

    Twice: an image that is ready or refused is left alone. Killed half-way: the same files are made again under the same keys. Deleted
    meanwhile: what was made is deleted.
    """
    image = services.process_image(image_id)
    return {"image_id": image_id, "state": "deleted" if image is None else image.state}


@shared_task(name="images.delete_files")
def delete_files(*, image_id: str) -> int:
    """Delete the files of a deleted image. Twice, or killed half-way: what is left is deleted."""
    return services.delete_files(image_id)


@shared_task(name="images.clear_unfinished")
def clear_unfinished() -> int:
    """Delete uploads that nobody came back for. Twice or killed: a batch is a transaction, rows go once."""
    return services.clear_unfinished()
