"""A report's files in Django's storage.

    reports/<id>/<fence>/part-7.csv     written by the run that held the work under that fence
    reports/<id>/<fence>/report.xlsx

Runs never share a name, so that one which was overtaken and does not know it yet overwrites nothing; what counts is what the rows name.
"""

from collections.abc import Collection
from pathlib import Path
from uuid import UUID

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage

from app.engine.aws.errors import translated

LINK_SECONDS = 300


def store_bytes(report_id: UUID, fence: int, name: str, content: bytes) -> str:
    """Store and return the name in the storage."""
    with translated(f"store {name} of report {report_id}"):
        return default_storage.save(f"{_folder(report_id)}/{fence}/{name}", ContentFile(content))


def store_file(report_id: UUID, fence: int, name: str, path: Path) -> str:
    """The same of a file of any size, eight megabytes at a time."""
    with translated(f"store {name} of report {report_id}"), path.open("rb") as content:
        return default_storage.save(f"{_folder(report_id)}/{fence}/{name}", File(content))


def read(name: str) -> bytes:
    """A part, whole."""
    with translated(f"read {name}"), default_storage.open(name) as content:
        found: bytes = content.read()
    return found


def link(name: str, *, content_type: str, file_name: str) -> str:
    """An address that is good for five minutes for whoever has it: ask first who may have it."""
    asked = {"ResponseContentType": content_type, "ResponseContentDisposition": f'attachment; filename="{file_name}"'}
    address: str = default_storage.url(name, parameters=asked, expire=LINK_SECONDS)  # type: ignore[call-arg]  # they are of django-storages
    return address


def delete_all_but(report_id: UUID, kept: Collection[str]) -> int:
    """Delete what runs of this report have left behind and return how many files that were."""
    deleted = 0
    with translated(f"delete what is left of report {report_id}"):
        folders, _ = default_storage.listdir(_folder(report_id))
        for folder in folders:
            _, names = default_storage.listdir(f"{_folder(report_id)}/{folder}")
            for name in {f"{_folder(report_id)}/{folder}/{name}" for name in names} - set(kept):
                default_storage.delete(name)
                deleted += 1
    return deleted


def _folder(report_id: UUID) -> str:
    return f"reports/{report_id}"
