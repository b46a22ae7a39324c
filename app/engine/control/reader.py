"""Reading the log: every letter once, in order."""

from app.engine.control.letters import Posted
from app.engine.control.mailbox import Mailbox


class Reader:
    """One worker's place in the log. It begins at the beginning: what lasts is there.

    A read costs half if it may come from a copy that lags behind, and pages are no snapshot. So each letter names the one before it:
    where one is missing, what comes after it waits for the next read. If it is missing then, too, DynamoDB has deleted it.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._number = 0
        self._complete_until = 0
        self.is_up_to_date = False
        """Whether everything that was in the log at some time has been read."""

    def read(self) -> list[Posted]:
        """What is new. Raises what :class:`~app.engine.control.mailbox.Mailbox` raises, and then nothing has been read."""
        # The first read decides what this worker may run: it may not miss the revocation of a second ago.
        found = self._mailbox.letters_after(self._number, consistently=not self.is_up_to_date)
        taken: list[Posted] = []
        for posted in found:
            if posted.previous > self._number and posted.number > self._complete_until:
                break
            taken.append(posted)
            self._number = posted.number
        if found:
            self._complete_until = found[-1].number
        self.is_up_to_date |= len(taken) == len(found)
        return taken
