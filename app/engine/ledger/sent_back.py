"""That a job is on its way again: its dead letter was sent back, and no worker has received it yet."""

import logging
import time

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.errors import EngineError
from app.engine.ledger.claims import KEY, TTL
from app.topology.naming import table_name
from app.topology.tables import LEDGER

logger = logging.getLogger(__name__)

SENT_BACK_PREFIX = "sent-back-"


def note_sent_back(settings: EngineSettings, task_id: str, *, redrives: int, by: str) -> None:
    """``redrives`` counts this time, too: once a claim has the same count, the note says nothing any more.

    If the ledger is away only a log line says so: the job is told as it was before, until a worker receives it.
    """
    now = time.time()
    item = {
        KEY: {"S": SENT_BACK_PREFIX + task_id},
        TTL: {"N": str(int(now + settings.result_ttl.total_seconds()))},
        "redrives": {"N": str(redrives)},
        "sent_back_at": {"N": f"{now:.3f}"},
        "by": {"S": by},
    }
    try:
        with translated("note that a dead letter was sent back"):
            clients.lean_dynamodb(settings).put_item(TableName=table_name(settings.name_prefix, LEDGER.name), Item=item)
    except EngineError as error:
        logger.warning("dead letter sent back without a note", extra={"task_id": task_id, "reason": str(error)})
