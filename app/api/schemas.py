"""What request bodies inherit."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """Refuses unknown fields, and values of another JSON type: no ``"12"``, ``1.0`` or ``true`` where a number is due."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
