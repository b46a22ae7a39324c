"""Where the files of an image lie. Their keys are stable: whoever makes them again overwrites them."""

import shutil
from functools import cache
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages

from app.engine.aws.errors import translated

ORIGINAL = "original"


@cache
def _storage() -> Any:
    """Django's default storage, which overwrites."""
    parameters = settings.STORAGES["default"]
    return storages.create_storage({**parameters, "OPTIONS": {**parameters["OPTIONS"], "file_overwrite": True}})


def key_of(image_id: UUID, name: str) -> str:
    return f"images/{image_id}/{name}"


def put(image_id: UUID, name: str, content: "File[bytes] | bytes") -> None:
    """Store a file, in the place of one that is there. Raises :class:`~app.engine.aws.errors.AwsUnavailable`."""
    with translated(f"store {name} of image {image_id}"):
        _storage().save(key_of(image_id, name), ContentFile(content) if isinstance(content, bytes) else content)


def fetch(image_id: UUID, name: str) -> IO[bytes]:
    """A copy of a file, on this machine until it is closed. Raises :class:`FileNotFoundError`, and as :func:`put`."""
    copy = TemporaryFile()  # noqa: SIM115 — the caller closes it
    try:
        with translated(f"read {name} of image {image_id}"), _storage().open(key_of(image_id, name)) as stored:
            shutil.copyfileobj(stored, copy)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def delete_all(image_id: UUID) -> int:
    """Delete every file of an image, and return how many there were. Raises as :func:`put`."""
    with translated(f"delete the files of image {image_id}"):
        _, names = _storage().listdir(f"images/{image_id}")
        for name in names:
            _storage().delete(key_of(image_id, name))
    return len(names)
