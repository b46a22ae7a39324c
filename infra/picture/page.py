"""The page and the picture on it."""

from collections.abc import Mapping

from infra.picture.drawing import drawing
from infra.picture.facts import Template, read_facts

PAGE, PICTURE = "docs/reference/architecture.md", "docs/reference/architecture.svg"
_TEXT = """\
<!-- Generated: scripts/synth prod && .venv/bin/python -m infra.picture. Edit the topology or the stacks instead. -->
# Architecture

Prod, as `scripts/synth prod` writes it. Each line is a property of the templates: who receives, sends, reads and writes is what the roles
allow, one by one in [grants](grants.md).

![{alternative}](architecture.svg)

| stack | resources |
| --- | --- |
{stacks}

Dashed: SQS moves what was received too often. A worker that fails a job for good moves it itself, with its cause
([dead letters](../how-to/handle-dead-letters.md)). How copies follow the queues: [scaling](../explanation/scaling.md).
"""


def files(templates: Mapping[str, Template], *, prefix: str) -> Mapping[str, str]:
    """The texts of the page and of the picture. ``templates`` by the names of their stacks."""
    facts = read_facts(templates, prefix=prefix)
    stacks = "\n".join(f"| `{name}` | {count} |" for name, count in sorted(facts.stacks.items()))
    alternative = (
        f"{len(facts.processes)} kinds of tasks, {len(facts.queues)} queues and what they keep: who sends, receives, reads and writes"
    )
    return {PAGE: _TEXT.format(alternative=alternative, stacks=stacks), PICTURE: drawing(facts)}
