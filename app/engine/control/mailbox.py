"""The table ``mailbox``: a log that every worker reads in order, and a box of answers per command that asked for some.

    box      letter             holds
    log      001764105600000    a command; ``previous`` is the number before it
    answers#<ticket>  <worker>#000    what that worker answered, in pieces if need be

Nothing depends on the clocks of clients and workers. A letter's number is the next one after the letter before it, and it is written
only where no letter stands: of two at the same moment, one looks again. Where what came after the last letter may have been deleted,
because that is old or there is none, the number is the time by DynamoDB's own clock, which is higher than all that were. It is
rounded to minutes: two who begin the log anew in the same one meet, too. So no letter appears before one that a worker may have
read. Limit: two who begin it anew in the same few milliseconds, of different minutes.
"""

import random
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from celery.utils.serialization import jsonify
from kombu.utils.encoding import safe_repr
from kombu.utils.json import dumps, loads

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.control.errors import MailboxBusy
from app.engine.control.letters import COMMAND_KEPT, Letter, Posted
from app.topology.naming import table_name
from app.topology.tables import MAILBOX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

assert MAILBOX.sort_key is not None  # noqa: S101 — for the type checker: it stands in the topology
BOX, LETTER, TTL = MAILBOX.partition_key.name, MAILBOX.sort_key.name, MAILBOX.ttl_attribute
LOG = "log"
#: DynamoDB takes 400 KB an item, keys and all.
PIECE_BYTES = 300_000
TRIES_TO_POST = 20


class Mailbox:
    """Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused`` wherever the table is used."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._table = table_name(settings.name_prefix, MAILBOX.name)

    @property
    def _client(self) -> "DynamoDBClient":
        return clients.dynamodb(self._settings)

    # -- the log ------------------------------------------------------------------------------------------------------------

    def post(self, letter: Letter) -> int:
        """Write it at the end of the log, once, and return its number. Raises :class:`~app.engine.control.errors.MailboxBusy`.

        Two requests: what the last letter is, and the new one.
        """
        # | no letter at this number ── is_free ──▶ ours |  one of another ──▶ look again  |  ours: written, and its answer was lost |
        is_free = f"attribute_not_exists({LETTER})"
        with translated("post a command to the workers"):
            client = self._client
            for _ in range(TRIES_TO_POST):
                answer = client.query(
                    TableName=self._table,
                    KeyConditionExpression=f"{BOX} = :log",
                    ExpressionAttributeValues={":log": {"S": LOG}},
                    ScanIndexForward=False,
                    Limit=1,
                    ConsistentRead=True,
                )
                now = dynamodb_time(answer)
                last, number = _place(answer["Items"], now)
                try:
                    client.put_item(
                        TableName=self._table,
                        Item={
                            BOX: {"S": LOG},
                            LETTER: {"S": _key(number)},
                            TTL: {"N": str(int(now + letter.lasts(self._settings).total_seconds()))},
                            "id": {"S": letter.id},
                            "method": {"S": letter.method},
                            "body": {"B": letter.encode()},
                            "previous": {"N": str(last)},
                            "posted_at": {"N": str(now)},
                        },
                        ConditionExpression=is_free,
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
                except client.exceptions.ConditionalCheckFailedException as error:
                    there: Any = error.response
                    if there.get("Item", {}).get("id") == {"S": letter.id}:
                        return number
                    time.sleep(random.uniform(0, 0.05))  # noqa: S311 — so that two do not go on meeting
                    continue
                return number
        raise MailboxBusy(
            f"The command {letter.method!r} found no place in the workers' mailbox: {TRIES_TO_POST} times others were faster."
        )

    def letters_after(self, number: int, *, consistently: bool) -> list[Posted]:
        """Every letter with a higher number, in order. One request, if they fit into a megabyte."""
        with translated("read the mailbox"):
            return [
                posted
                for page in self._pages(LOG, f"AND {LETTER} > :after", {":after": {"S": _key(number)}}, consistently=consistently)
                for posted in _posted(page)
            ]

    # -- answers ------------------------------------------------------------------------------------------------------------

    def answer(self, ticket: str, hostname: str, reply: Any) -> None:
        """Write what a worker answers. One write request per 300 KB, compressed."""
        body = zlib.compress(_json(reply).encode())
        pieces = [body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES)]
        expires_at = str(int(time.time() + COMMAND_KEPT.total_seconds()))
        with translated("answer a command"):
            for position, piece in enumerate(pieces):
                self._client.put_item(
                    TableName=self._table,
                    Item={
                        BOX: {"S": f"answers#{ticket}"},
                        LETTER: {"S": f"{hostname}#{position:03d}"},
                        TTL: {"N": expires_at},
                        "pieces": {"N": str(len(pieces))},
                        "body": {"B": piece},
                    },
                )

    def answers(self, ticket: str) -> dict[str, Any]:
        """What has been answered so far, by host name."""
        found: dict[str, list[bytes]] = {}
        wanted: dict[str, int] = {}
        with translated("read the workers' answers"):
            for page in self._pages(f"answers#{ticket}", "", {}, consistently=True):
                for item in page["Items"]:
                    hostname = item[LETTER]["S"].rpartition("#")[0]
                    found.setdefault(hostname, []).append(item["body"]["B"])
                    wanted[hostname] = int(item["pieces"]["N"])
        return {hostname: loads(zlib.decompress(b"".join(pieces))) for hostname, pieces in found.items() if len(pieces) == wanted[hostname]}

    def _pages(self, box: str, condition: str, values: Mapping[str, Any], *, consistently: bool) -> Iterator[Any]:
        yield from self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"{BOX} = :box {condition}",
            ExpressionAttributeValues={":box": {"S": box}, **values},
            ConsistentRead=consistently,
        )


def dynamodb_time(answer: Mapping[str, Any]) -> float:
    """The POSIX time at DynamoDB when it gave this answer, to the second. A proxy that drops the header leaves us our own clock."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date).timestamp() if date else time.time()


def _place(last_letters: Sequence[Mapping[str, Any]], now: float) -> tuple[int, int]:
    """The number of the last letter, and that of the next."""
    if not last_letters:
        return 0, _minute(now)
    (item,) = last_letters
    last = int(item[LETTER]["S"])
    # What is kept shortest was posted later, if it was there, and so has not expired.
    is_end = now - float(item["posted_at"]["N"]) < COMMAND_KEPT.total_seconds() - 1
    return last, last + 1 if is_end else max(last + 1, _minute(now))


def _minute(now: float) -> int:
    """The next whole one, in milliseconds."""
    return (int(now) // 60 + 1) * 60_000


def _key(number: int) -> str:
    return f"{number:015d}"


def _posted(page: Mapping[str, Any]) -> Iterator[Posted]:
    now = dynamodb_time(page)
    for item in page["Items"]:
        yield Posted(
            letter=Letter.decode(id=item["id"]["S"], method=item["method"]["S"], body=item["body"]["B"]),
            number=int(item[LETTER]["S"]),
            previous=int(item["previous"]["N"]),
            age=timedelta(seconds=max(now - float(item["posted_at"]["N"]), 0)),
        )


def _json(value: Any) -> str:
    try:
        text: str = dumps(value)
    except (TypeError, ValueError):
        text = dumps(jsonify(value, unknown_type_filter=safe_repr))
    return text
