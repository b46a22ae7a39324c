"""Names of tasks, for messages that teach."""

import difflib
from collections.abc import Iterable


def suggestion(task_name: str, known: Iterable[str]) -> str:
    """' Did you mean …?', or nothing."""
    close = difflib.get_close_matches(task_name, [name for name in known if not name.startswith("celery.")], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
