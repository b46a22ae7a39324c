"""Every dead letter as an item of the ledger.

    (none) ──seen──▶ dead ──not seen for 3 rounds──▶ gone ──seen──▶ dead
    dead | redriving, until over ──take──▶ redriving(by, until) ──sent──▶ redriven
    redriving, ours ──SQS refuses it──▶ dead, with the problem
    dead | redriving, until over ──discard──▶ discarded

Each arrow is one conditional write, so that any number of clerks and people may draw it at once and one does. A message that is
still seen in its queue after its letter was redriven or discarded is one whose deletion was cut off: whoever sees it deletes it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.dead_letters.letter import INDEX, KEY, TTL, DeadLetter, State, half_of, key_of, read_letter
from app.topology.naming import table_name
from app.topology.tables import LEDGER

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Rounds that did not see a letter before it counts as gone: a receive is a sample of the queue.
MISSES_UNTIL_GONE = 3
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_KEYS_PER_READ = 100
_HALF = INDEX.partition_key.name
_DIED_AT = INDEX.sort_key.name

_IS_NEW = "attribute_not_exists(#key)"
_IS_DEAD = "#state = :dead"
_IS_GONE = "#state = :gone"
_MAY_TAKE = "(#state = :dead OR (#state = :redriving AND #until < :now))"
_IS_OURS = "#state = :redriving AND #holder = :holder"


class Index:
    """Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``. ``client`` is DynamoDB's, for tests."""

    def __init__(self, settings: EngineSettings, client: "DynamoDBClient | None" = None) -> None:
        self._settings = settings
        self._client_of_tests = client
        self._table = table_name(settings.name_prefix, LEDGER.name)

    @property
    def _client(self) -> "DynamoDBClient":
        return self._client_of_tests or clients.dynamodb(self._settings)

    # -- reading ------------------------------------------------------------------------------------------------------------

    def letters(self, queue: str, *, is_open: bool, now: float, newest_first: bool = True) -> Iterator[DeadLetter]:
        """Those of a queue that are dead or being sent back, or those that are over, page by page. A second old at most in practice."""
        half = half_of(queue, State.DEAD if is_open else State.GONE)
        with translated("list the dead letters"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=INDEX.name,
                KeyConditionExpression="#half = :half",
                ExpressionAttributeNames={"#half": _HALF},
                ExpressionAttributeValues={":half": {"S": half}},
                ScanIndexForward=not newest_first,
            )
            for page in pages:
                for item in page["Items"]:
                    letter = read_letter(item)
                    # DynamoDB deletes what has expired within days.
                    if letter.expires_at > now:
                        yield letter

    def get(self, letter: str) -> DeadLetter | None:
        """As it is now, with its lineage."""
        return self.get_many([letter]).get(letter)

    def get_many(self, letters: Iterable[str]) -> dict[str, DeadLetter]:
        keys = [{KEY: {"S": key_of(letter)}} for letter in dict.fromkeys(letters)]
        found: dict[str, DeadLetter] = {}
        with translated("read dead letters"):
            for start in range(0, len(keys), _KEYS_PER_READ):
                pending: Any = {self._table: {"Keys": keys[start : start + _KEYS_PER_READ], "ConsistentRead": True}}
                while pending:
                    answer = self._client.batch_get_item(RequestItems=pending)
                    for item in answer["Responses"].get(self._table, []):
                        letter = read_letter(item)
                        found[letter.id] = letter
                    pending = answer.get("UnprocessedKeys")
        return found

    # -- what the clerk writes ----------------------------------------------------------------------------------------------

    def enter(self, letter: DeadLetter) -> DeadLetter | None:
        """Enter a letter that was seen. If it is known, return it as it is now: one that was gone is dead again."""
        known = self._write("enter a dead letter", lambda client: client.put_item, Item=letter.as_item(), ConditionExpression=_IS_NEW)
        if known is None:
            return None
        there = read_letter(known)
        if there.state is State.GONE and self._move(there, State.DEAD, _IS_GONE, remove=("missed", "ended_at")):
            return replace(there, state=State.DEAD)
        return there

    def missed(self, letter: DeadLetter, now: float) -> bool:
        """It was not seen in a round. True if it counts as gone now."""
        if letter.missed + 1 >= MISSES_UNTIL_GONE:
            return self._move(letter, State.GONE, _IS_DEAD, {"ended_at": _number(now)})
        self._move(letter, State.DEAD, _IS_DEAD, {"missed": {"N": str(letter.missed + 1)}})
        return False

    def seen(self, letter: DeadLetter) -> None:
        """It was there after all."""
        self._move(letter, State.DEAD, _IS_DEAD, remove=("missed",))

    # -- what people write --------------------------------------------------------------------------------------------------

    def take(self, letter: DeadLetter, *, by: str, holder: str, now: float, until: float) -> bool:
        """Reserve it for one who is about to send it back. False if somebody else has it, or it is over."""
        sets = {"by": {"S": by}, "holder": {"S": holder}, "until": _number(until)}
        return self._move(letter, State.REDRIVING, _MAY_TAKE, sets, {":now": _number(now)}, remove=("problem",))

    def sent(self, letter: DeadLetter, *, holder: str, now: float, expires_at: int) -> bool:
        """SQS has taken it back. False if another has taken it over meanwhile, and sends it, too."""
        sets = {"ended_at": _number(now), TTL: {"N": str(expires_at)}}
        return self._move(letter, State.REDRIVEN, _IS_OURS, sets, {":holder": {"S": holder}}, remove=("until",))

    def refused(self, letter: DeadLetter, *, holder: str, problem: str) -> None:
        """SQS does not take it back."""
        self._move(letter, State.DEAD, _IS_OURS, {"problem": {"S": problem[:300]}}, {":holder": {"S": holder}}, remove=("until",))

    def discard(self, letter: DeadLetter, *, by: str, now: float, expires_at: int) -> bool:
        """Note that it is deleted on purpose, before it is. False if somebody is sending it back, or it is over."""
        sets = {"by": {"S": by}, "ended_at": _number(now), TTL: {"N": str(expires_at)}}
        return self._move(letter, State.DISCARDED, _MAY_TAKE, sets, {":now": _number(now)}, remove=("until",))

    # -- writes -------------------------------------------------------------------------------------------------------------

    def _move(
        self,
        letter: DeadLetter,
        state: State,
        condition: str,
        sets: Mapping[str, Any] | None = None,
        asked: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] = (),
    ) -> bool:
        """One arrow. False, and nothing is written, if its condition does not hold."""
        told = {"state": {"S": str(state)}, _HALF: {"S": half_of(letter.queue, state)}, **(sets or {})}
        names = {f"#{name}": name for name in told}
        values = {f":new_{name}": value for name, value in told.items()} | dict(asked or {})
        for word in ("dead", "gone", "redriving"):
            if f":{word}" in condition:
                values[f":{word}"] = {"S": word}
        for name in ("until", "holder"):
            if f"#{name}" in condition:
                names[f"#{name}"] = name
        change = "SET " + ", ".join(f"#{name} = :new_{name}" for name in told)
        if remove:
            change += " REMOVE " + ", ".join(f"#{name}" for name in remove)
            names |= {f"#{name}": name for name in remove}
        in_the_way = self._write(
            "change a dead letter",
            lambda client: client.update_item,
            Key={KEY: {"S": key_of(letter.id)}},
            UpdateExpression=change,
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )
        return in_the_way is None

    def _write(self, what: str, operation: Any, **request: Any) -> Mapping[str, Any] | None:
        """``None`` if it was written, or the item that stood in the way; an empty one if there was none."""
        if "Item" in request:
            request["ExpressionAttributeNames"] = {"#key": KEY}
        with translated(what):
            client = self._client
            try:
                operation(client)(TableName=self._table, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request)
            except client.exceptions.ConditionalCheckFailedException as error:
                # Shown because it was asked for; botocore's own type of a response does not know it.
                stood_in_the_way: Any = error.response
                return stood_in_the_way.get("Item") or {}
        return None


def _number(value: float) -> dict[str, str]:
    return {"N": f"{value:.3f}"}
