"""Everything the gateway keeps for its clients, by id."""

from collections.abc import Mapping

from scripts.laptop.gateway.messages import Json, Refused


class Objects:
    """Payment intents and refunds as they are now, oldest first. Not thread-safe: the gateway's lock is around it."""

    def __init__(self) -> None:
        self._by_id: dict[str, Json] = {}

    def change(self, changed: Mapping[str, Json]) -> None:
        """Take up new objects, and new states of those that are here; the latter keep their place."""
        self._by_id |= changed

    def get(self, name: str) -> Json:
        """Return the object, or ``{}``."""
        return self._by_id.get(name, {})

    def find(self, name: str, kind: str, status: int = 404) -> Json:
        """Return the object. Raises Refused with ``status`` if there is none of this kind."""
        found = self._by_id.get(name)
        if found is None or found["object"] != kind:
            raise Refused(status, f"No such {kind}: '{name}'", code="resource_missing", param="id")
        return found

    def all_of(self, kind: str) -> list[Json]:
        """Return the objects of a kind, oldest first."""
        return [found for found in self._by_id.values() if found["object"] == kind]
