"""The log keeps its order, and every letter stands there once."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import pytest

from app.engine.aws import clients
from app.engine.aws.errors import AwsUnavailable
from app.engine.aws.provision import provision
from app.engine.conf import EngineSettings, engine_settings
from app.engine.control import mailbox as module
from app.engine.control.letters import Letter
from app.engine.control.mailbox import Mailbox, dynamodb_time
from app.topology import TOPOLOGY
from app.topology.naming import table_name
from app.topology.tables import MAILBOX
from tests.support.faults import Fault
from tests.support.strict_sqs import NO_HABITS, StrictSqs

_numbers = count()


@pytest.fixture
def settings(aws: str) -> EngineSettings:
    """Of a mailbox of the test's own."""
    settings = replace(engine_settings(), name_prefix=f"millrace-box{next(_numbers)}")
    provision(
        replace(TOPOLOGY, queues=TOPOLOGY.queues[:0], services=(), one_offs=()),
        name_prefix=settings.name_prefix,
        region=settings.region,
        endpoint_url=aws,
    )
    return settings


@pytest.fixture
def mailbox(settings: EngineSettings) -> Mailbox:
    return Mailbox(settings)


@pytest.fixture
def network(_strict_sqs: str) -> Iterator[StrictSqs]:
    network = StrictSqs(_strict_sqs, seed=1, habits=NO_HABITS)
    yield network
    network.close()


def ids(mailbox: Mailbox) -> list[str]:
    return [posted.letter.id for posted in mailbox.letters_after(0, consistently=True)]


def test_letters_that_are_posted_at_the_same_time_stand_in_one_order_each_naming_the_one_before(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each answer of DynamoDB is of another second, so that no two posters agree on what time it is.
    minute = time.time() // 60 * 60
    moments = count()
    monkeypatch.setattr(module, "dynamodb_time", lambda _: minute + next(moments) % 59)
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda number: mailbox.post(Letter(id=str(number), method="ping")), range(24)))

    posted = mailbox.letters_after(0, consistently=True)
    assert [one.number for one in posted] == sorted(set(numbers))
    assert len(posted) == 24
    assert [later.previous for _, later in pairwise(posted)] == [earlier.number for earlier, _ in pairwise(posted)]
    assert posted[0].previous == 0


def test_a_letter_whose_answer_was_lost_stands_there_once(settings: EngineSettings, mailbox: Mailbox, network: StrictSqs) -> None:
    network.fail("DynamoDB.PutItem", Fault.LOST_ANSWER, probability=0.5)
    through = Mailbox(replace(settings, endpoint_url=network.url))

    for number in range(12):
        post_until_it_stands(through, Letter(id=str(number), method="pool_grow"))

    assert ids(mailbox) == [str(number) for number in range(12)]


def post_until_it_stands(mailbox: Mailbox, letter: Letter) -> None:
    """Two lost answers in a row are an error to the caller, who has to look."""
    try:
        mailbox.post(letter)
    except AwsUnavailable:
        assert ids(mailbox)[-1] == letter.id


def test_answers_come_back_whole_however_large_they_are(mailbox: Mailbox) -> None:
    large = [os.urandom(20).hex() for _ in range(60_000)]
    odd = {"set": {1, 2}, "object": object}

    mailbox.answer("t", "one@h", large)
    mailbox.answer("t", "two#2@h", odd)
    mailbox.answer("other", "three@h", 1)

    found = mailbox.answers("t")
    assert found["one@h"] == large
    assert sorted(found["two#2@h"]) == ["object", "set"]
    assert found.keys() == {"one@h", "two#2@h"}


def test_half_an_answer_is_none(settings: EngineSettings, mailbox: Mailbox) -> None:
    mailbox.answer("t", "one@h", os.urandom(500_000).hex())
    clients.dynamodb(settings).delete_item(
        TableName=table_name(settings.name_prefix, MAILBOX.name), Key={"box": {"S": "answers#t"}, "letter": {"S": "one@h#001"}}
    )

    assert mailbox.answers("t") == {}


def test_every_item_leaves_by_itself(settings: EngineSettings, mailbox: Mailbox) -> None:
    for method in ("ping", "revoke", "pause_queue"):
        mailbox.post(Letter(id=method, method=method))
    mailbox.answer("t", "one@h", {"ok": "pong"})

    answer: Any = clients.dynamodb(settings).scan(TableName=table_name(settings.name_prefix, MAILBOX.name))
    now = dynamodb_time(answer)
    assert all(now < int(item["ttl"]["N"]) < now + 367 * 86400 for item in answer["Items"])
    assert len(answer["Items"]) == 4
