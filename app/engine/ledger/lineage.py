"""Where a job comes from, and what follows it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

#: Of what follows one job; a larger canvas has no records of the rest until they are enqueued.
MOST_FOLLOWERS = 1_000
_CHAIN, _GROUP, _CHORD = "celery.chain", "celery.group", "celery.chord"


def lineage_of(*, task_id: str, root: Any, parent: Any, group: Any, tenant: Any) -> dict[str, Any]:
    """The attributes of an item, without what is not known and what says the same as the id."""
    said = {"root": None if root == task_id else root, "parent": parent, "in_group": group, "tenant": tenant}
    return {name: {"S": str(value)} for name, value in said.items() if value}


def followers_of(body: Any) -> dict[str, str]:
    """Ids and task names of the jobs that are to be enqueued when this one, or its group, has ended: the rest of its chain, its chord's body.

    ``body`` is that of a Celery message, or its JSON. What is no such body has none.
    """
    if isinstance(body, str):
        if '"task_id"' not in body:  # nearly every body
            return {}
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return {}
    if not (isinstance(body, list | tuple) and len(body) == 3 and isinstance(body[2], Mapping)):  # noqa: PLR2004 — arguments, keyword arguments, embedded
        return {}
    embedded = body[2]
    found: dict[str, str] = {}
    for task_id, task in _ids([*(embedded.get("chain") or ()), embedded.get("chord")]):
        if len(found) == MOST_FOLLOWERS:
            break
        found[task_id] = task
    return found


def _ids(signatures: list[Any]) -> Iterator[tuple[str, str]]:
    while signatures:
        signature = signatures.pop()
        if not isinstance(signature, Mapping):
            continue
        options, task = signature.get("options") or {}, str(signature.get("task"))
        kwargs = signature.get("kwargs") or {}
        if task in (_CHAIN, _GROUP):
            signatures.extend(kwargs.get("tasks") or ())
        elif task == _CHORD:
            header = kwargs.get("header")
            signatures.extend([kwargs.get("body"), *(header if isinstance(header, list | tuple) else [header])])
        elif task_id := options.get("task_id"):
            yield str(task_id), task
        signatures.extend([*(options.get("chain") or ()), options.get("chord")])
