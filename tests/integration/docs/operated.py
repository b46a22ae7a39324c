"""What pages have people run in a deployed stage."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.support.environment import REPOSITORY

_DOCS = REPOSITORY / "docs"
#: Runbooks and how-tos that say so.
OPERATING = [
    page for folder in ("runbooks", "how-to") for page in sorted((_DOCS / folder).glob("*.md")) if "scripts/operate " in page.read_text()
]


def operated(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``scripts/operate …``: in shell snippets, where a quoted word may have many lines, and in the text."""
    text = page.read_text()
    for snippet in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for found in re.finditer(r"^scripts/operate ", snippet, re.MULTILINE):
            yield _words(snippet[found.start() :].replace("$STAGE", "prod"))
    for found in re.findall(r"`(scripts/operate [^`]+)`", text):
        if "…" not in found:
            yield _words(found.replace("$STAGE", "prod").replace("STAGE", "prod"))


def _words(text: str) -> list[str]:
    """Of the first command, as a shell reads it, without what is done with its output."""
    lines = text.splitlines()
    for count in range(1, len(lines) + 1):
        with suppress(ValueError):  # a quotation goes on in the next line
            words = shlex.split("\n".join(lines[:count]))
            ends = [words.index(end) for end in (">", "|") if end in words]
            return words[1 : min(ends, default=len(words))]
    raise AssertionError(f"a quotation does not end: {text[:200]}")
