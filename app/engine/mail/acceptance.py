"""Whether a mail went out that nobody noted: what a backend can say of it afterwards."""

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.filebased import EmailBackend as FileBackend

_CLOCKS_DIFFER = timedelta(seconds=5)


def was_accepted(message_id: str, since: datetime) -> bool | None:
    """Whether the server has had the mail of that Message-ID, at ``since`` or later; ``None`` if it cannot be asked, as SMTP and SES cannot."""
    if not isinstance(get_connection(), FileBackend):
        return None
    earliest = (since - _CLOCKS_DIFFER).timestamp()
    wanted = message_id.encode()
    return any(file.stat().st_mtime >= earliest and wanted in file.read_bytes() for file in Path(settings.EMAIL_FILE_PATH).glob("*.log"))
