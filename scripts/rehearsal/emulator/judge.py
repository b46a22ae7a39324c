"""Judges recorded calls under policies that are told, by the IAM of the emulator: stdin to stdout, JSON.

``[{"policies": [document, …], "calls": [decision, …]}, …]`` in, for each the positions of the calls that would be denied out.
"""

import json
import sys
from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document


def main() -> None:
    json.dump([_denied(question["policies"], question["calls"]) for question in json.load(sys.stdin)], sys.stdout)


def _denied(documents: list[Any], calls: list[dict[str, Any]]) -> list[int]:
    policies = [parse_policy_document(document) for document in documents]
    return [position for position, call in enumerate(calls) if evaluate(_context(call), policies).decision != "Allow"]


def _context(call: dict[str, Any]) -> EvalContext:
    principal = call["principal"]
    return EvalContext(
        principal_arn=principal,
        principal_type="AssumedRole",
        principal_account=principal.split(":")[4],
        action=call["action"],
        resource_arn=call["resource"],
        region=call["region"],
        secure_transport=call["secure"],
        service_context=call["context"],
    )


if __name__ == "__main__":
    main()
