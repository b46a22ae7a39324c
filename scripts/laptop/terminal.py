"""What the person at the terminal reads: one live line on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_PLAIN_EVERY = timedelta(seconds=5)
_PLAIN_WIDTH = 120


class Terminal:
    """Writes to stdout. Rich is imported when first needed, as the servers are starting meanwhile."""

    def __init__(self) -> None:
        self._is_live = sys.stdout.isatty()
        self._console: Console | None = None
        self._status: Status | None = None
        self._said = ""
        self._said_at = 0.0

    def say(self, text: str = "") -> None:
        """Print a line for good."""
        self.quiet()
        print(text, flush=True)

    def progress(self, text: str) -> None:
        """Show what is going on: the live line changes; in a pipe it is a new line, now and then."""
        if text == self._said:
            return
        if self._is_live:
            self._said = text
            self._show(text)
        elif time.monotonic() - self._said_at > _PLAIN_EVERY.total_seconds():
            self._said, self._said_at = text, time.monotonic()
            print(f"  {text}", flush=True)

    def quiet(self) -> None:
        """Take the live line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._said = ""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> None:
        """Print a table; the columns named in ``right`` are aligned to the right."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        self.quiet()
        table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._open().print(table)

    def _show(self, text: str) -> None:
        from rich.markup import escape

        if self._status is None:
            self._status = self._open().status(escape(text), refresh_per_second=5)
            self._status.start()
        else:
            self._status.update(escape(text))

    def _open(self) -> "Console":
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False, width=None if self._is_live else _PLAIN_WIDTH)
        return self._console
