"""Writes ``docs/reference/architecture.md`` and its picture from the templates in ``cdk.out``. Needs no CDK."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.picture.page import files
from infra.stages import PROD

_REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    suffix = ".template.json"
    found = sorted((_REPOSITORY / "cdk.out").glob(f"{PROD.name_prefix}-*{suffix}"))
    if not found:
        sys.stderr.write(f"cdk.out holds no templates of {PROD.name}: scripts/synth {PROD.name}\n")
        return 2
    templates: Mapping[str, Any] = {path.name.removesuffix(suffix): json.loads(path.read_text(encoding="utf-8")) for path in found}
    for path, text in files(templates, prefix=PROD.name_prefix).items():
        (_REPOSITORY / path).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
