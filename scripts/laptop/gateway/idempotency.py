"""Idempotency keys: the first answer under a key is the answer to whoever uses it again."""

from dataclasses import replace

from scripts.laptop.gateway.messages import Answer, Refused


# | unknown ── request ──▶ in use ── executed ──▶ stored |  in use ── parameter refused ──▶ unknown |
class IdempotencyKeys:
    """The keys in use, and the answers stored under those that were. Not thread-safe: the gateway's lock is around it."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._in_use: dict[tuple[str, str], str] = {}

    def recall(self, key: tuple[str, str], fingerprint: str) -> Answer | None:
        """Return the answer that the key already has, be it a refusal to use it; None if the key is free."""
        first, answer = self._stored.get(key, (self._in_use.get(key, fingerprint), None))
        if first != fingerprint:
            return Refused(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key[1]}' if you meant to execute a different request.",
                kind="idempotency_error",
            ).answer
        if key in self._in_use:
            return Refused(
                409,
                "There is currently another in-progress request using this Idempotency-Key. Try again later, with the same key.",
                kind="idempotency_error",
                code="idempotency_key_in_use",
            ).answer
        return replace(answer, is_replayed=True) if answer else None

    def claim(self, key: tuple[str, str], fingerprint: str) -> None:
        """Keep others from using the key until it is released."""
        self._in_use[key] = fingerprint

    def release(self, key: tuple[str, str]) -> None:
        """End the use of a key; it is free again unless an answer was stored under it."""
        del self._in_use[key]

    def store(self, key: tuple[str, str], fingerprint: str, answer: Answer) -> None:
        """Remember the answer for whoever uses the key again."""
        self._stored[key] = (fingerprint, answer)
