"""JSON as we answer it."""

import json
from datetime import UTC, datetime
from typing import Any

from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder


class UniformEncoder(NinjaJSONEncoder):
    """Writes each moment in one form, UTC with three digits of a second: as text they sort as they happened.

    Django's encoder, on which Ninja's stands, leaves the fraction out where it is zero.
    """

    def default(self, o: Any) -> Any:
        if isinstance(o, datetime) and o.tzinfo is not None:
            return o.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return super().default(o)


class UniformRenderer(JSONRenderer):
    """The renderer of every answer of the API."""

    encoder_class: type[json.JSONEncoder] = UniformEncoder
