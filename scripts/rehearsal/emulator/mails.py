"""Every mail that the emulated SES accepts becomes a file, before the sender gets its answer."""

from itertools import count
from pathlib import Path
from typing import Any


class Mails:
    """A file with the recipients, the subject and the text of each mail, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count(1)

    def deliver(self) -> None:
        """From now on, in this process. Fails if ministack is not the one that this was written for."""
        from ministack.services import ses_v2

        self._directory.mkdir(parents=True, exist_ok=True)
        accepted = ses_v2._sent_emails_list
        ses_v2._sent_emails_list = lambda: _Delivering(accepted(), self)

    def write(self, mail: dict[str, Any]) -> None:
        recipients = "".join(f"To: {recipient}\n" for recipient in mail["To"])
        text = f"{recipients}Subject: {mail['Subject']}\n\n{mail['BodyText'] or mail['BodyHtml'] or ''}\n"
        (self._directory / f"{next(self._numbers):05}.eml").write_text(text)


class _Delivering:
    """Stands where ministack appends to its list."""

    def __init__(self, accepted: list[dict[str, Any]], mails: Mails) -> None:
        self._accepted = accepted
        self._mails = mails

    def append(self, mail: dict[str, Any]) -> None:
        self._accepted.append(mail)
        self._mails.write(mail)

    def __len__(self) -> int:
        return len(self._accepted)
