"""What goes over the wire, and what comes back, is what boto3 would have made of it."""

import json
from typing import Any, cast

import pytest
from botocore import xform_name
from botocore.exceptions import ParamValidationError
from botocore.validate import validate_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.aws.wire import Unanswered
from app.engine.aws.wire import sqs_operations as wire
from app.engine.aws.wire.sqs_operations import OPERATIONS, Operation
from tests.unit.engine.aws.wire.recorded_boto import QUEUE_URL, RecordedBoto

TYPES = {"string": str, "integer": int, "list": list, "map": dict, "blob": bytes}
NAMES = [operation.name for operation in OPERATIONS]


@pytest.fixture(scope="module")
def boto() -> RecordedBoto:
    return RecordedBoto()


def model_of(boto: RecordedBoto, operation: Operation) -> Any:
    return boto.client.meta.service_model.operation_model(operation.name)


def types_of(shape: Any) -> dict[str, type]:
    return {name: TYPES[member.type_name] for name, member in shape.members.items()}


# -- the model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_names_and_types_are_those_of_the_model_of_botocore(boto: RecordedBoto, operation: Operation) -> None:
    shape = model_of(boto, operation).input_shape

    assert dict(operation.types) == types_of(shape)
    assert operation.required == set(shape.required_members)
    assert bool(operation.entry_types) == ("Entries" in shape.members)


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.entry_types], ids=lambda each: each.name)
def test_names_and_types_of_entries_are_those_of_the_model_of_botocore(boto: RecordedBoto, operation: Operation) -> None:
    entry = model_of(boto, operation).input_shape.members["Entries"].member

    assert dict(operation.entry_types) == types_of(entry)
    assert operation.entry_required == set(entry.required_members)


def test_names_and_types_of_attributes_are_in_the_model_of_botocore(boto: RecordedBoto) -> None:
    for key in wire._ATTRIBUTE_MAPS:
        attribute = model_of(boto, wire.SEND_MESSAGE).input_shape.members[key].value
        assert wire._ATTRIBUTE_TYPES.items() <= {name: TYPES[member.type_name] for name, member in attribute.members.items()}.items()
        assert set(attribute.required_members) == wire._ATTRIBUTE_REQUIRED


# -- requests -----------------------------------------------------------------------------------------------------

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_attributes = st.dictionaries(
    _texts.filter(bool),
    st.fixed_dictionaries(
        {"DataType": _texts},
        optional={
            "StringValue": _texts,
            "BinaryValue": st.binary(max_size=20) | _texts,
            "BinaryListValues": st.lists(st.binary(max_size=5)),
            "StringListValues": st.lists(_texts),
        },
    ),
    max_size=3,
)
_integers = st.integers(min_value=-(2**40), max_value=2**40)
VALUES: dict[type, st.SearchStrategy[Any]] = {str: _texts, int: _integers, list: st.lists(_texts, max_size=3), dict: _attributes}


def valid(types: Any, required: Any, **given_values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = {name: VALUES[kind] for name, kind in types.items()} | given_values
    return st.fixed_dictionaries(
        {name: value for name, value in values.items() if name in required},
        optional={name: value for name, value in values.items() if name not in required},
    )


def parameters_of(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    if not operation.entry_types:
        return valid(operation.types, operation.required)
    entries = st.lists(valid(operation.entry_types, operation.entry_required), min_size=1, max_size=3)
    return valid(operation.types, operation.required, Entries=entries)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_request_is_the_one_that_boto3_sends(boto: RecordedBoto, operation: Operation, data: st.DataObject) -> None:
    parameters = data.draw(parameters_of(operation)) | {"QueueUrl": QUEUE_URL}
    # Good for every operation, so that boto3 has nothing to complain about.
    boto.body = b'{"MessageId": "m", "Successful": [], "Failed": []}'
    getattr(boto.client, xform_name(operation.name))(**parameters)
    theirs = boto.requests.pop()

    ours = json.loads(operation.write(parameters))

    assert ours == json.loads(cast("bytes", theirs.body))
    assert operation.target.encode() == theirs.headers["X-Amz-Target"]
    assert theirs.headers["Content-Type"] == b"application/x-amz-json-1.0"
    assert theirs.headers["x-amzn-query-mode"] == b"true"


def test_what_was_given_is_left_as_it_was() -> None:
    attributes = {"trace": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    entry = {"Id": "1", "MessageBody": "x", "MessageAttributes": attributes}

    body = wire.SEND_MESSAGE_BATCH.write({"QueueUrl": QUEUE_URL, "Entries": [entry]})

    assert json.loads(body)["Entries"][0]["MessageAttributes"]["trace"]["BinaryValue"] == "AP8="
    assert attributes == {"trace": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}


def test_half_a_character_is_left_for_sqs_to_refuse() -> None:
    body = wire.SEND_MESSAGE.write({"QueueUrl": QUEUE_URL, "MessageBody": "\ud83c"})

    assert b"\\ud83c" in body


# -- what is refused ----------------------------------------------------------------------------------------------

_anything = (
    st.none() | st.booleans() | _integers | st.floats(allow_nan=False) | _texts | st.binary(max_size=3) | st.lists(_integers, max_size=2)
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_what_counts_as_surely_valid_is_valid_for_botocore(boto: RecordedBoto, operation: Operation, data: st.DataObject) -> None:
    parameters = data.draw(parameters_of(operation))
    spoilt = parameters
    if "Entries" in parameters and data.draw(st.booleans()):
        spoilt = parameters["Entries"][0]
    if spoilt.get("MessageAttributes") and data.draw(st.booleans()):
        spoilt = next(iter(spoilt["MessageAttributes"].values()))
    name = data.draw(st.sampled_from([*spoilt, "Unknown"]))
    if data.draw(st.booleans()) and name in spoilt:
        del spoilt[name]
    else:
        spoilt[name] = data.draw(_anything)

    if operation.is_surely_valid(parameters):
        validate_parameters(parameters, model_of(boto, operation).input_shape)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_an_unknown_or_missing_name_is_not_surely_valid(boto: RecordedBoto, operation: Operation) -> None:
    unknown = {"QueueUrl": QUEUE_URL, "DelaySecond": 1}

    assert not operation.is_surely_valid(unknown)
    assert not operation.is_surely_valid({})
    with pytest.raises(ParamValidationError):
        validate_parameters(unknown, model_of(boto, operation).input_shape)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        (
            wire.SEND_MESSAGE,
            {
                "QueueUrl": QUEUE_URL,
                "MessageBody": "x",
                "DelaySeconds": 1,
                "MessageAttributes": {"t": {"DataType": "Binary", "BinaryValue": b"x"}},
            },
        ),
        (wire.SEND_MESSAGE_BATCH, {"QueueUrl": QUEUE_URL, "Entries": [{"Id": "1", "MessageBody": "x"}]}),
        (wire.RECEIVE_MESSAGE, {"QueueUrl": QUEUE_URL, "MessageAttributeNames": ["All"], "WaitTimeSeconds": 20}),
        (wire.DELETE_MESSAGE, {"QueueUrl": QUEUE_URL, "ReceiptHandle": "h"}),
    ],
)
def test_the_usual_call_needs_no_second_look(operation: Operation, parameters: dict[str, Any]) -> None:
    assert operation.is_surely_valid(parameters)


# -- answers ------------------------------------------------------------------------------------------------------

MESSAGE = {
    "MessageId": "m",
    "ReceiptHandle": "h",
    "MD5OfBody": "d",
    "Body": "ü",
    "Attributes": {"ApproximateReceiveCount": "1"},
    "MD5OfMessageAttributes": "d",
    "MessageAttributes": {
        "blob": {"DataType": "Binary", "BinaryValue": "AP8=", "BinaryListValues": ["AA=="]},
        "text": {"DataType": "String", "StringValue": "x"},
    },
}
FAILED = {"Id": "2", "SenderFault": True, "Code": "InvalidParameterValue", "Message": "no"}
ANSWERS: list[tuple[Operation, Any]] = [
    (wire.SEND_MESSAGE, {"MessageId": "m", "MD5OfMessageBody": "d", "SequenceNumber": None}),
    (wire.SEND_MESSAGE_BATCH, {"Successful": [{"Id": "1", "MessageId": "m", "MD5OfMessageBody": "d"}], "Failed": [FAILED]}),
    (wire.SEND_MESSAGE_BATCH, {"Successful": [{"Id": "1", "MessageId": "m", "MD5OfMessageBody": "d"}], "Failed": None}),
    (wire.RECEIVE_MESSAGE, {}),
    (wire.RECEIVE_MESSAGE, {"Messages": None}),
    (wire.RECEIVE_MESSAGE, {"Messages": []}),
    (wire.RECEIVE_MESSAGE, {"Messages": [MESSAGE, {"MessageId": "n", "ReceiptHandle": "i", "Body": "x"}]}),
    (wire.DELETE_MESSAGE, {}),
    (wire.DELETE_MESSAGE_BATCH, {"Failed": [FAILED]}),
    (wire.CHANGE_MESSAGE_VISIBILITY, {}),
    (wire.CHANGE_MESSAGE_VISIBILITY_BATCH, {"Successful": [{"Id": "1"}]}),
]


def parsed_by_botocore(boto: RecordedBoto, operation: Operation, body: bytes) -> dict[str, Any]:
    from botocore.parsers import create_parser

    response = {"status_code": 200, "headers": {}, "body": body}
    parsed: dict[str, Any] = create_parser("json").parse(response, model_of(boto, operation).output_shape)
    del parsed["ResponseMetadata"]
    return parsed


@pytest.mark.parametrize(("operation", "answer"), ANSWERS)
def test_an_answer_is_read_as_boto3_reads_it(boto: RecordedBoto, operation: Operation, answer: Any) -> None:
    body = json.dumps(answer).encode()

    assert operation.read_answer(body) == parsed_by_botocore(boto, operation, body)


@pytest.mark.parametrize("operation", [wire.DELETE_MESSAGE, wire.CHANGE_MESSAGE_VISIBILITY], ids=lambda each: each.name)
def test_an_operation_that_returns_nothing_may_be_answered_with_nothing(operation: Operation) -> None:
    assert operation.read_answer(b"") == {}


GARBAGE = [b"<html>a proxy's login page</html>", b"[]", b"1", b'"text"', b'{"MessageId": ', b"\xff\xfe", b"[" * 100_000]


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
@pytest.mark.parametrize("body", GARBAGE)
def test_what_is_no_answer_of_sqs_is_no_answer(operation: Operation, body: bytes) -> None:
    with pytest.raises(Unanswered, match=operation.name):
        operation.read_answer(body)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (wire.SEND_MESSAGE, b""),
        (wire.SEND_MESSAGE, b"{}"),
        (wire.SEND_MESSAGE, b'{"MessageId": 1}'),
        (wire.SEND_MESSAGE_BATCH, b"{}"),
        (wire.SEND_MESSAGE_BATCH, b'{"Successful": [], "Failed": []}'),
        (wire.SEND_MESSAGE_BATCH, b'{"Successful": {"Id": "1"}}'),
        (wire.SEND_MESSAGE_BATCH, b'{"Successful": ["1"]}'),
        (wire.RECEIVE_MESSAGE, b""),
        (wire.RECEIVE_MESSAGE, b'{"Messages": "none"}'),
        (wire.RECEIVE_MESSAGE, b'{"Messages": [{}]}'),
        (wire.RECEIVE_MESSAGE, b'{"Messages": [{"ReceiptHandle": "h", "MessageAttributes": {"a": {"BinaryValue": "A"}}}]}'),
    ],
)
def test_an_answer_without_what_was_asked_for_is_no_answer(operation: Operation, body: bytes) -> None:
    with pytest.raises(Unanswered):
        operation.read_answer(body)
