"""What every line of the current run or request carries."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NOTHING: Mapping[str, object] = MappingProxyType({})
_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=_NOTHING)


def current() -> Mapping[str, object]:
    return _context.get()


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add fields to every line within the block."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def replace(fields: Mapping[str, object]) -> None:
    """Set the fields where no block encloses the work: Celery announces start and end of a run by two signals."""
    _context.set(fields)
