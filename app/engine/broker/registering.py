"""Jobs are recorded while they are sent, and what SQS did not take is recorded as such."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from botocore.exceptions import ClientError

from app.engine.aws.wire import NotSent
from app.engine.broker.errors import PartlySent
from app.engine.job_ledger import Enqueued, JobRegister, Recording


@contextmanager
def recorded(register: JobRegister, jobs: Sequence[Enqueued], *, is_recorded_first: bool = False) -> Iterator[None]:
    """Send these jobs within the block. After it their records are written, or a second is over.

    | begun ──▶ sent ─────────▶ queued |
    |      └──▶ SQS refused ──▶ not sent: the caller gets the error, and nobody will run it |
    |      └──▶ no answer ────▶ perhaps queued: the caller gets the error |

    Recorded in parallel with the send, which costs no time; ``is_recorded_first`` is for many, whose producer might die half-way.
    """
    recording = register.begin(jobs)
    if is_recorded_first:
        recording.wait()
    try:
        yield
    except Exception as error:
        _note(recording, jobs, error)
        raise
    finally:
        recording.wait()


def _note(recording: Recording, jobs: Sequence[Enqueued], error: Exception) -> None:
    if isinstance(error, PartlySent):
        recording.not_sent({error.ids[position]: reason for position, reason in error.refused.items()}, is_certain=True)
        recording.not_sent({error.ids[position]: reason for position, reason in error.unanswered.items()}, is_certain=False)
        return
    reason = f"{type(error).__name__}: {error}"
    recording.not_sent(dict.fromkeys((str(job.headers.get("id", "")) for job in jobs), reason), is_certain=_is_surely_not_sent(error))


def _is_surely_not_sent(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, NotSent)
