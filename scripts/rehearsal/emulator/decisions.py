"""What IAM decided about the calls of roles."""

import json
from contextvars import ContextVar
from pathlib import Path
from typing import Any

#: What one call is judged by, from the moment when its policies are looked at.
_judged: ContextVar[Any] = ContextVar("judged", default=None)


class Decisions:
    """Writes each decision to a file, the same one once only: a worker polls its queue for ever."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._written: set[str] = set()

    def record(self) -> None:
        """From now on, in this process. Fails if ministack is not the one that this was written for."""
        from ministack.core import iam_evaluator

        evaluate, enforce = iam_evaluator.evaluate, iam_evaluator.enforce

        def evaluate_and_note(context: Any, policies: Any, *limits: Any) -> Any:
            _judged.set(context)
            return evaluate(context, policies, *limits)

        def enforce_and_write(*told: Any, **named: Any) -> Any:
            _judged.set(None)
            refusal = enforce(*told, **named)
            if (context := _judged.get()) is not None:
                self._write(context, "allowed" if refusal is None else "denied")
            elif refusal is not None:
                self._write_unknown(told, named, refusal)
            return refusal

        iam_evaluator.evaluate, iam_evaluator.enforce = evaluate_and_note, enforce_and_write

    def _write(self, context: Any, outcome: str) -> None:
        self._write_line(
            {
                "principal": context.principal_arn,
                "action": context.action,
                "resource": context.resource_arn,
                "region": context.region,
                "secure": context.secure_transport,
                # The rest of the context is different for each item of a table.
                "context": {
                    key: value for key, value in context.service_context.items() if key.startswith(("cloudwatch:", "ses:", "ecs:", "iam:"))
                },
                "outcome": outcome,
            }
        )

    def _write_unknown(self, told: tuple[Any, ...], named: dict[str, Any], refusal: Any) -> None:
        """Its credentials are nobody's, or the signature is wrong: there is no principal."""
        self._write_line(
            {
                "principal": f"key {told[0]}",
                "action": told[1],
                "resource": named.get("resource_arn", "*"),
                "region": told[3],
                "secure": False,
                "context": {},
                "outcome": f"refused: {getattr(refusal, 'code', refusal)}",
            }
        )

    def _write_line(self, decision: dict[str, Any]) -> None:
        line = json.dumps(decision, sort_keys=True)
        if line not in self._written:
            self._written.add(line)
            self._file.write(line + "\n")
