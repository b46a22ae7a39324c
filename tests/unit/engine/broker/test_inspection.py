"""What passes can really be taken by kombu and Celery, and nothing that Celery itself sends is refused."""

import base64
import json
import pickle
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.app.task import Context
from celery.canvas import maybe_signature
from celery.utils.time import timezone as celery_timezone
from celery.worker.request import Request
from kombu.asynchronous.timer import to_timestamp
from kombu.transport import virtual
from kombu.utils import json as kombu_json

from app.engine.broker.inspection import Inspected, inspect, inspect_arguments, inspect_envelope
from app.engine.broker.refusals import LONGEST_DETAIL, Refused, UnknownTask
from app.engine.tasks import debug_task
from tests.support.hostile import HOSTILE, TASK, Shape, encoded, in_base64, inner_body, mutations, signature, valid_message

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
YEAR = 366 * 86400.0
QUEUE = "celery"  # the one that a sender without configuration sends to


def write_letter(*_args: Any, **_kwargs: Any) -> None:
    """Takes whatever Celery is asked to send."""


def take_nothing() -> None:
    """Not even an argument."""


@pytest.fixture(scope="module")
def celery() -> Iterator[Celery]:
    """A stock sender far from Greenwich, whose messages stay in memory."""
    app = Celery("sender", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(timezone="Asia/Kathmandu", task_publish_retry=False)
    app.task(name="letters.write", shared=False)(write_letter)
    app.finalize()
    assert debug_task.name == TASK  # shared tasks are every application's
    yield app
    app.close()


@pytest.fixture
def sent(celery: Celery) -> Iterator[Callable[[], list[str]]]:
    """``sent()``: the bodies of the SQS messages that have been sent, as kombu's SQS transport encodes them."""
    with celery.connection_for_read() as connection:
        channel = connection.default_channel
        channel.queue_declare(QUEUE)

        def take() -> list[str]:
            return [in_base64(kombu_json.dumps(channel._get(QUEUE))) for _ in range(channel._size(QUEUE))]

        take()
        yield take
        take()


def looked_at(app: Celery, body: str, now: float = NOW) -> Inspected:
    return inspect(body, queue=QUEUE, tasks=app.tasks, now=now, latest_eta_seconds=YEAR)


def outcome(app: Celery, body: str) -> str:
    try:
        looked_at(app, body)
    except Refused as refused:
        is_presentable = 0 < len(refused.detail) <= LONGEST_DETAIL and refused.detail.isascii()
        return "refused" if is_presentable else f"badly refused: {refused!r}"
    except UnknownTask:
        return "unknown"
    return "accepted"


class OtherEnd:
    """What of kombu's channel a message needs."""

    codecs = virtual.Channel.codecs
    decode_body = virtual.Channel.decode_body
    no_ack_consumers: frozenset[str] = frozenset()


def take_as_celery_does(app: Celery, inspected: Inspected) -> Request:
    """Do what a worker's main process and its children do with a message before the task's own code runs, and after it failed."""
    inspected.payload["properties"]["delivery_tag"] = "receipt"
    message = virtual.Message(inspected.payload, channel=OtherEnd())
    assert message.errors == []
    # As message.ack() asks.
    assert message.delivery_info.get("consumer_tag") not in OtherEnd.no_ack_consumers
    task = app.tasks[message.headers["task"]]
    request = Request(message, app=app, task=task, headers=message.headers, body=message.body, utc=True)
    assert (request.id, request.type) == (inspected.id, inspected.task)
    assert (None if request.eta is None else request.eta.timestamp()) == inspected.eta
    assert request.eta is None or to_timestamp(celery_timezone.to_system(request.eta)) is not None
    assert (None if request.expires is None else request.expires.timestamp()) == inspected.expires
    request.maybe_expire()
    hard, soft = request.time_limits
    assert [time.monotonic() + (seconds or task.time_limit or 0) for seconds in (hard, soft)]
    assert (hard or None) == inspected.time_limit
    described = str(request) + repr(request) + repr(request.info(safe=True)) + repr(request.info()) + repr(request.stamps)
    assert described
    pickle.loads(pickle.dumps(request.request_dict))  # noqa: S301 — what we have pickled ourselves
    # As a task of the pool, or mark_as_failure after the pool has killed it.
    context = request._context
    assert context.delivery_info == {
        "exchange": "",
        "routing_key": QUEUE,
        "priority": context.properties.get("priority"),
        "redelivered": False,
    }
    assert context.get("id") == inspected.id
    assert context.children == []
    assert 2**context.retries > 0
    kombu_json.dumps(task.signature_from_request(context, retries=context.retries + 1))
    for embedded in (
        *(context.callbacks or ()),
        *(context.errbacks or ()),
        *(context.chain or ()),
        *([context.chord] if context.chord else ()),
    ):
        follow(app, embedded)
    return request


def follow(app: Celery, embedded: dict[str, Any]) -> None:
    """As the backend does with what comes after a failed task."""
    element = Context(embedded)
    element.update(element.options)
    element.id = element.options.get("task_id")
    hash((element.id, element.get("options", {}).get("group_id")))
    maybe_signature(embedded, app=app)
    if element.options.get("chord"):
        maybe_signature(element.options["chord"], app=app)


# -- hostile ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", HOSTILE, ids=lambda shape: shape.name)
def test_each_hostile_shape_meets_its_fate(celery: Celery, shape: Shape) -> None:
    assert outcome(celery, shape.body) == shape.outcome
    if shape.outcome == "accepted":
        take_as_celery_does(celery, looked_at(celery, shape.body))


def test_ten_thousand_damaged_messages_are_refused_or_can_be_taken(celery: Celery) -> None:
    outcomes = {"accepted": 0, "refused": 0, "unknown": 0}

    for body in mutations(seed=20260101, count=10_000):
        found = outcome(celery, body)
        outcomes[found] += 1
        if found == "accepted":
            take_as_celery_does(celery, looked_at(celery, body))

    assert all(outcomes.values()), outcomes


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' + "[" * 1_000_000,
        '{"a":[' + "[]," * 340_000,
        '{"a":' + "[{" * 40 + '"' * 1_000_000,
        '{"a":' + "[{" * 40 + '"' + '\\"' * 500_000,
        '{"a":' + "[{" * 40 + "\\" * 1_000_000,
        '{"a":' + "[{" * 40 + '"",' * 300_000,
        '{"a":' + "1" * 1_000_000,
        "A" * 1_000_000 + "!",
        " " * 1_000_000,
    ],
    ids=["open", "pairs", "quotes", "escaped quotes", "backslashes", "texts", "digits", "base64", "spaces"],
)
def test_a_megabyte_made_to_be_slow_is_refused_in_no_time(celery: Celery, text: str) -> None:
    started = time.process_time()

    assert outcome(celery, text) == "refused"

    assert time.process_time() - started < 5


def test_a_detail_names_the_argument_and_not_its_value(celery: Celery) -> None:
    with pytest.raises(Refused) as refused:
        looked_at(celery, encoded(valid_message(kwargs={"card\n🙂": "4242424242424242"})))

    assert refused.value.reason == "bad-arguments"
    assert "card\\n\\U0001f642" in refused.value.detail.replace("\n", "\\n")
    assert "4242" not in str(refused.value)


def test_a_refusal_survives_the_way_between_processes() -> None:
    refused = pickle.loads(pickle.dumps(Refused("too-deep", "Sixty-five.")))  # noqa: S301 — what we have pickled ourselves

    assert (refused.reason, refused.detail) == ("too-deep", "Sixty-five.")


# -- the limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "expected"), [(YEAR - 1, "accepted"), (YEAR + 1, "refused"), (-10 * YEAR, "accepted")])
def test_a_due_time_is_refused_only_beyond_the_latest(celery: Celery, seconds: float, expected: str) -> None:
    eta = datetime.fromtimestamp(NOW + seconds, UTC).isoformat()

    assert outcome(celery, encoded(valid_message(eta=eta))) == expected


@pytest.mark.parametrize(("depth", "expected"), [(60, "accepted"), (62, "refused")])
def test_sixty_four_brackets_may_nest(celery: Celery, depth: int, expected: str) -> None:
    # The body's own list, the list of arguments and the list of siblings make four with the argument.
    argument = json.loads("[" * depth + "]" * depth)

    assert outcome(celery, encoded(valid_message() | {"body": inner_body([[[], argument]])})) == expected


def test_where_it_was_received_counts_and_not_where_it_says_it_was_sent(celery: Celery) -> None:
    payload = looked_at(celery, encoded(valid_message())).payload

    assert payload["properties"]["delivery_info"] == {"exchange": "", "routing_key": QUEUE}


def test_a_task_without_typing_takes_any_arguments(celery: Celery) -> None:
    celery.task(name="letters.strict")(take_nothing)
    celery.task(name="letters.lax", typing=False)(take_nothing)

    assert outcome(celery, encoded(valid_message("letters.strict", args=(1, 2)))) == "refused"
    assert outcome(celery, encoded(valid_message("letters.lax", args=(1, 2)))) == "accepted"


def test_of_an_unknown_task_the_arguments_are_not_looked_at(celery: Celery) -> None:
    with pytest.raises(UnknownTask) as unknown:
        looked_at(celery, encoded(valid_message("letters.burn") | {"body": "not for us"}))

    assert unknown.value.task == "letters.burn"


def test_a_claim_checked_body_is_looked_at_once_it_is_there(celery: Celery) -> None:
    body = encoded(valid_message(claim_check={"key": "claim-checks/a"}) | {"body": ""})

    inspected = inspect_envelope(body, queue=QUEUE, now=NOW, latest_eta_seconds=YEAR)
    assert inspected.claim_check == {"key": "claim-checks/a"}
    with pytest.raises(Refused):
        inspect_arguments(inspected, celery.tasks)
    inspected.payload["body"] = inner_body(kwargs={"seconds": 3})

    assert inspect_arguments(inspected, celery.tasks)[:2] == [[], {"seconds": 3}]
    take_as_celery_does(celery, inspected)


# -- what Celery sends --------------------------------------------------------------------------------------------------

ARGUMENTS = [datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.5"), uuid.UUID(int=7), b"bytes", b"\xff", "naïve 🙂", 10**30, 1.5, None]

Sending = Callable[[Any], object]


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda write: write.delay(*ARGUMENTS, key={"of": ARGUMENTS}), id="arguments"),
        pytest.param(lambda write: write.apply_async(countdown=30.5), id="countdown"),
        pytest.param(lambda write: write.apply_async(eta=datetime.now(UTC).replace(microsecond=0), expires=3600), id="eta and expires"),
        pytest.param(lambda write: write.apply_async(eta=datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)), id="naive eta"),
        pytest.param(lambda write: write.apply_async(expires="2099-01-01T00:00:00.25+01:00"), id="expires as text"),
        pytest.param(lambda write: write.apply_async(time_limit=30, soft_time_limit=20.5), id="time limits"),
        pytest.param(lambda write: write.apply_async(soft_time_limit=20), id="soft time limit"),
        pytest.param(lambda write: write.apply_async(priority=7, ignore_result=True, shadow="letter", reply_to=""), id="priority"),
        pytest.param(lambda write: write.apply_async(headers={"tenant": "acme", "baggage": {"a": [1]}}), id="headers"),
        pytest.param(lambda write: write.apply_async(headers={"headers": {"sentry-trace": "1-2"}}), id="headers in headers"),
        pytest.param(lambda write: write.apply_async(task_id="order/17 ü", argsrepr="line\nline"), id="own id"),
        pytest.param(lambda write: write.apply_async(link=write.s(1), link_error=[write.s(), write.si(2)]), id="callbacks"),
        pytest.param(lambda write: write.apply_async(link=group(write.s(), write.s())), id="group as callback"),
        pytest.param(lambda write: chain(write.s(1), write.s(2).set(countdown=9, expires=99), write.s(3)).delay(), id="chain"),
        pytest.param(lambda write: group(write.s(n) for n in range(3)).apply_async(countdown=3), id="group"),
        pytest.param(lambda write: chord([write.s(1), write.s(2)], write.s()).delay(), id="chord"),
        pytest.param(lambda write: (write.s(1) | group(write.s(), write.s()) | write.s() | write.s()).delay(), id="chain with a group"),
        pytest.param(
            lambda write: chord([write.s() | write.s(), group(write.s())], group(write.s(), write.s())).delay(), id="nested chord"
        ),
        pytest.param(lambda write: chain(write.s(), chord([write.s()], write.s() | write.s())).delay(), id="chain with a chord"),
        pytest.param(lambda write: write.apply_async(link=write.chunks([(1,), (2,)], 1)), id="chunks as callback"),
        pytest.param(lambda write: write.apply_async(link=[write.map([1, 2]), write.starmap([(1, 2)])]), id="map as callback"),
        pytest.param(lambda write: write.map([1, 2]).delay(), id="map"),
        pytest.param(lambda write: write.chunks([(1,), (2,)], 1).apply_async(), id="chunks"),
        pytest.param(lambda write: _stamped(write.s() | write.s()).delay(), id="stamps"),
        pytest.param(lambda write: _stamped(chord([write.s()], write.s())).delay(), id="stamped chord"),
    ],
)
def test_what_celery_sends_passes(celery: Celery, sent: Callable[[], list[str]], send: Sending) -> None:
    send(celery.tasks["letters.write"])

    bodies = sent()
    assert bodies
    for body in bodies:
        inspected = looked_at(celery, body, now=time.time())
        take_as_celery_does(celery, inspected)


def _stamped(of: Any) -> Any:
    of.stamp(batch="7", tags=["a", "b"])
    return of


def test_a_retry_of_what_celery_sent_passes(celery: Celery, sent: Callable[[], list[str]]) -> None:
    write = celery.tasks["letters.write"]
    follower = _stamped(write.s() | write.s())
    follower.apply_async(expires=3600, time_limit=30, headers={"tenant": "acme"})

    for attempt in range(3):
        (body,) = sent()
        inspected = looked_at(celery, body, now=time.time())
        assert inspected.retries == attempt
        request = take_as_celery_does(celery, inspected)
        write.signature_from_request(request._context, retries=attempt + 1, countdown=1.5).apply_async()

    (body,) = sent()
    assert looked_at(celery, body, now=time.time()).eta is not None


def test_a_message_is_taken_in_either_encoding(celery: Celery, sent: Callable[[], list[str]]) -> None:
    celery.tasks["letters.write"].delay("naïve")

    (body,) = sent()

    plain = base64.b64decode(body).decode()
    assert looked_at(celery, plain) == looked_at(celery, body)


def test_a_sender_of_protocol_1_is_told_what_to_change(celery: Celery, sent: Callable[[], list[str]]) -> None:
    celery.conf.task_protocol = 1
    celery.amqp.__dict__.pop("create_task_message", None)
    try:
        celery.tasks["letters.write"].delay()
    finally:
        celery.conf.task_protocol = 2
        celery.amqp.__dict__.pop("create_task_message", None)

    (body,) = sent()
    with pytest.raises(Refused, match=r"protocol-1: .*task_protocol = 2"):
        looked_at(celery, body)


def test_a_signature_in_a_callback_is_followed_to_its_end(celery: Celery) -> None:
    deep = signature(options={"link": [signature(options={"link_error": [signature(options={"task_id": 7})]})]})

    with pytest.raises(Refused, match="bad-callbacks"):
        looked_at(celery, encoded(valid_message() | {"body": inner_body(callbacks=[deep])}))
