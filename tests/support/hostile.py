"""Messages that no well-behaved sender sends: a corpus with the outcome of each, and an endless supply of damaged ones."""

import base64
import copy
import json
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

#: A task that every worker has and that changes nothing: its only argument is ``seconds``.
TASK = "engine.debug_task"
TASK_ID = "6f2c7f0e-3a51-4b0e-9a35-0d6a3a0c9d11"

Outcome = Literal["refused", "unknown", "accepted"]


class Shape(NamedTuple):
    name: str
    body: str
    """Of the SQS message."""
    outcome: Outcome


# -- valid messages -----------------------------------------------------------------------------------------------------


def inner_body(args: Any = (), kwargs: Any = None, **embed: Any) -> str:
    """Arguments and embedded signatures, encoded as kombu does."""
    return in_base64(json.dumps([list(args), kwargs or {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embed}]))


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def valid_message(task: str = TASK, args: Any = (), kwargs: Any = None, **headers: Any) -> dict[str, Any]:
    """The envelope that a stock Celery sends for a call, with these headers changed."""
    return {
        "body": inner_body(args, kwargs),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": TASK_ID,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": TASK_ID,
            "parent_id": None,
            "argsrepr": repr(tuple(args)),
            "kwargsrepr": repr(kwargs or {}),
            "origin": "gen1@sender",
            "ignore_result": False,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
            **headers,
        },
        "properties": {
            "correlation_id": TASK_ID,
            "reply_to": "0b8f6a3e-41f7-3c5a-8f3b-6b1f2d1f2a10",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "5c1ff0a5-0a6f-4c63-9d7e-0a3f6a8c1f5e",
        },
    }


def encoded(message: Any, *, in_base64_too: bool = True) -> str:
    """The body of the SQS message, in either of kombu's encodings (``sqs_base64_encoding``)."""
    text = json.dumps(message)
    return in_base64(text) if in_base64_too else text


def signature(task: str = TASK, **changes: Any) -> dict[str, Any]:
    """As it is embedded in another's message."""
    return {
        "task": task,
        "args": [],
        "kwargs": {},
        "options": {"task_id": TASK_ID, "reply_to": TASK_ID},
        "subtask_type": None,
        "immutable": True,
        **changes,
    }


# -- the corpus ---------------------------------------------------------------------------------------------------------


def _with(**parts: Any) -> str:
    return encoded(valid_message() | parts)


def _header(**headers: Any) -> str:
    return encoded(valid_message(**headers))


def _without(part: str, key: str | None = None) -> str:
    message = valid_message()
    if key is None:
        del message[part]
    else:
        del message[part][key]
    return encoded(message)


def _property(**properties: Any) -> str:
    message = valid_message()
    message["properties"] |= properties
    return encoded(message)


def _embedded(**embed: Any) -> str:
    return _with(body=inner_body(**embed))


def _raw_inner(text: str) -> str:
    return _with(body=in_base64(text))


def _spelled(message: dict[str, Any], mark: str, spelling: str) -> str:
    """What ``json.dumps`` would not write."""
    return json.dumps(message).replace(json.dumps(mark), spelling)


def _bomb() -> str:
    """16 MiB of zeros in 16 kB."""
    message = valid_message(compression="application/x-gzip")
    message["body"] = base64.b64encode(zlib.compress(bytes(16 * 1024 * 1024))).decode()
    return encoded(message)


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


#: Each of these was sent to a stock worker once, with good messages behind it. It died of 17, and 9 of them held the others up.
_MEASURED = (
    Shape("garbage_text", "this is not a message", "refused"),
    Shape("json_dict_not_celery", '{"hello": "world"}', "refused"),
    Shape("json_list", "[1, 2, 3]", "refused"),
    Shape("json_null", "null", "refused"),
    Shape("json_num", "42", "refused"),
    Shape("truncated_b64", encoded(valid_message())[:-41], "refused"),
    Shape("inner_body_not_b64", _with(body="%%% not base64 %%%"), "refused"),
    Shape("inner_body_b64_garbage", _raw_inner("not json"), "refused"),
    Shape("inner_json_not_triple", _raw_inner('{"a": 1}'), "refused"),
    Shape("unknown_task", _header(task="nobody.knows_this"), "unknown"),
    Shape("wrong_args", encoded(valid_message(args=(1, 2, 3, 4))), "refused"),
    Shape("extra_kwargs", encoded(valid_message(kwargs={"surprise": 1})), "refused"),
    Shape("pickle_ct", _with(**{"content-type": "application/x-python-serialize"}), "refused"),
    Shape("yaml_ct", _with(**{"content-type": "application/x-yaml"}), "refused"),
    Shape("unknown_ct", _with(**{"content-type": "application/x-surprise"}), "refused"),
    Shape("routing_key_other", _property(delivery_info={"exchange": "", "routing_key": "a-queue-that-is-not"}), "accepted"),
    Shape("control_wellformed", encoded(valid_message()), "accepted"),
    Shape("task_is_list", _header(task=[TASK]), "refused"),
    Shape("task_is_null", _header(task=None), "refused"),
    Shape("headers_null", _with(headers=None), "refused"),
    Shape("headers_list", _with(headers=["task"]), "refused"),
    Shape("headers_missing", _without("headers"), "refused"),
    Shape("props_null", _with(properties=None), "refused"),
    Shape("props_str", _with(properties="properties"), "refused"),
    Shape("delivery_info_num", _property(delivery_info=7), "refused"),
    Shape("body_missing", _without("body"), "refused"),
    Shape("body_null", _with(body=None), "refused"),
    Shape("body_num", _with(body=7), "refused"),
    Shape("id_missing", _without("headers", "id"), "refused"),
    Shape("id_list", _header(id=["a", "b"]), "refused"),
    Shape("eta_garbage", _header(eta="tomorrow"), "refused"),
    Shape("eta_num", _header(eta=12345), "refused"),
    Shape("eta_year9999", _header(eta="9999-12-31T23:59:59+00:00"), "refused"),
    Shape("expires_garbage", _header(expires="never"), "refused"),
    Shape("expires_num", _header(expires=12345), "refused"),
    Shape("timelimit_str", _header(timelimit="soon"), "refused"),
    Shape("timelimit_strs", _header(timelimit=["soon", "later"]), "refused"),
    Shape("retries_str", _header(retries="many"), "refused"),
    Shape("body_encoding_unknown", _property(body_encoding="rot13"), "refused"),
    Shape("encoding_unknown", _with(**{"content-encoding": "klingon"}), "refused"),
    Shape("compression_unknown", _header(compression="application/x-surprise"), "refused"),
    Shape("zlib_bomb", _bomb(), "refused"),
    Shape("deep_json", '{"a":' + _nested(100_000) + "}", "refused"),
    Shape("deep_inner", _raw_inner(f"[{_nested(50_000)}, {{}}, {{}}]"), "refused"),
    Shape("chord_garbage", _embedded(chord="garbage"), "refused"),
    Shape("callbacks_garbage", _embedded(callbacks=[7, "garbage"]), "refused"),
    Shape("chain_garbage", _embedded(chain={"not": "a list"}), "refused"),
    Shape("group_no_chord", _header(group=["a-group"]), "refused"),
    Shape("huge_200k", encoded(valid_message(kwargs={"seconds": 0}, argsrepr="x" * 200_000)), "accepted"),
    Shape("nan_dur", encoded(valid_message(kwargs={"seconds": float("nan")})), "accepted"),
    Shape("stamps_bad", _header(stamped_headers=7, stamps="garbage"), "refused"),
    Shape("replaced_task_nesting_str", _header(replaced_task_nesting="deep"), "refused"),
)

_THOUGHT_OF = (
    Shape("empty", "", "refused"),
    Shape("byte_order_mark", "\ufeff" + encoded(valid_message(), in_base64_too=False), "refused"),
    Shape("not_in_base64", encoded(valid_message(), in_base64_too=False), "accepted"),
    Shape("body_utf8", _with(body="[[], {}, {}]", properties={"body_encoding": "utf-8"}), "accepted"),
    Shape("body_not_encoded", _with(body='[[], {"seconds": 0}, {}]', properties={}), "accepted"),
    Shape("body_empty", _with(body=""), "refused"),
    Shape("more_than_a_megabyte", encoded(valid_message(argsrepr="x" * 800_000)), "refused"),
    Shape("trailing_text", encoded(valid_message(), in_base64_too=False) + "{}", "refused"),
    Shape("not_utf8", base64.b64encode(b'{"headers": "\xff\xfe"}').decode(), "refused"),
    Shape("brackets_in_text", encoded(valid_message(argsrepr="[{" * 5_000 + '\\"')), "accepted"),
    Shape("wide_but_flat", encoded(valid_message(extra=[[] for _ in range(5_000)])), "accepted"),
    Shape("int_of_5000_digits", _spelled(valid_message(retries="mark"), "mark", "9" * 5_000), "refused"),
    Shape("inner_int_of_5000_digits", _raw_inner(f'[[], {{"seconds": {"9" * 5_000}}}, {{}}]'), "refused"),
    Shape("retries_beyond_memory", _header(retries=10**12), "refused"),
    Shape("retries_negative", _header(retries=-1), "refused"),
    Shape("retries_true", _header(retries=True), "refused"),
    Shape("timelimit_infinite", _spelled(valid_message(timelimit=["mark", None]), "mark", "1e999"), "refused"),
    Shape("timelimit_nan", _header(timelimit=[float("nan"), None]), "refused"),
    Shape("timelimit_no_float", _header(timelimit=[10**4_000, None]), "refused"),
    Shape("timelimit_negative", _header(timelimit=[None, -1]), "refused"),
    Shape("timelimit_one", _header(timelimit=[30]), "refused"),
    Shape("eta_empty", _header(eta=""), "refused"),
    Shape("eta_year_1", _header(eta="0001-01-01T00:00:00+14:00"), "refused"),
    Shape("eta_beyond_the_calendar", _header(eta="9999-12-31T24:00"), "refused"),
    Shape("eta_as_kombu_date", _header(eta={"__type__": "date", "__value__": "2026-01-01"}), "refused"),
    Shape("expires_at_the_end_of_time", _header(expires="9999-12-31T23:59:59-12:00"), "refused"),
    Shape("id_half_a_surrogate", _header(id="\ud800"), "refused"),
    Shape("id_with_line_end", _header(id="a\nCRITICAL all is lost"), "refused"),
    Shape("id_too_long", _header(id="x" * 256), "refused"),
    Shape("id_empty", _header(id=""), "refused"),
    Shape("root_id_number", _header(root_id=7), "refused"),
    Shape("correlation_id_object", _property(correlation_id={}), "refused"),
    Shape("reply_to_list", _property(reply_to=[]), "refused"),
    Shape("priority_text", _property(priority="high"), "refused"),
    Shape("consumer_tag_unhashable", _property(delivery_info={"consumer_tag": {}, "sqs_queue": "https://example.com/other"}), "accepted"),
    Shape("body_encoding_list", _property(body_encoding=["base64"]), "refused"),
    Shape("body_half_a_surrogate", _with(body='[["\ud800"], {}, {}]', properties={"body_encoding": "utf-8"}), "refused"),
    Shape("argument_half_a_surrogate", _raw_inner('[["\\ud800"], {}, {}]'), "accepted"),
    Shape("custom_header", _header(tenant="acme", baggage={"a": [1, 2]}), "accepted"),
    Shape("header_replaces_a_method", _header(get=7), "refused"),
    Shape("header_replaces_a_method_with_null", _header(get=None), "refused"),
    Shape("callback_replaces_a_method_with_null", _embedded(chain=[signature(options={"update": None})]), "refused"),
    Shape("retries_null", _header(retries=None, replaced_task_nesting=None), "accepted"),
    Shape("header_replaces_children", _header(_children=7), "refused"),
    Shape("header_chord", _header(chord="garbage"), "refused"),
    Shape("header_headers", _header(headers="garbage"), "refused"),
    Shape("ignore_result_text", _header(ignore_result="no"), "refused"),
    Shape("group_index_float", _header(group_index=1.5), "refused"),
    Shape("argsrepr_object", _header(argsrepr={}), "refused"),
    Shape("embed_replaces_id", _embedded(id=7), "refused"),
    Shape("embed_null", _raw_inner("[[], {}, null]"), "refused"),
    Shape("kwargs_null", _raw_inner("[[], null, {}]"), "refused"),
    Shape("args_object", _raw_inner("[{}, {}, {}]"), "refused"),
    Shape("four_parts", _raw_inner("[[], {}, {}, {}]"), "refused"),
    Shape("unknown_kombu_type", _raw_inner('[[{"__type__": "os.system", "__value__": "true"}], {}, {}]'), "refused"),
    Shape("kombu_bytes_of_a_number", _raw_inner('[[{"__type__": "bytes", "__value__": 7}], {}, {}]'), "refused"),
    Shape("kombu_decimal_of_nothing", _raw_inner('[[{"__type__": "decimal", "__value__": "x"}], {}, {}]'), "refused"),
    Shape("kombu_uuid_of_a_fraction", _raw_inner('[[{"__type__": "uuid", "__value__": {"int": 0.5}}], {}, {}]'), "refused"),
    Shape("kombu_type_unhashable", encoded({"__type__": [], "__value__": 7}), "refused"),
    Shape("callback", _embedded(callbacks=[signature()]), "accepted"),
    Shape("callback_without_options", _embedded(errbacks=[{"task": TASK, "args": [], "kwargs": {}}]), "refused"),
    Shape("callback_with_bad_task_id", _embedded(chain=[signature(options={"task_id": []})]), "refused"),
    Shape("callback_replaces_a_method", _embedded(chain=[signature(options={"update": 7})]), "refused"),
    Shape("callback_itself_replaces_a_method", _embedded(errbacks=[signature(update=None)]), "refused"),
    Shape("callback_replaces_its_options", _embedded(chain=[signature(options={"options": 7})]), "refused"),
    Shape("callback_replaces_its_task", _embedded(chain=[signature(options={"task": "x"})]), "refused"),
    Shape("callback_of_unknown_kind", _embedded(chain=[signature(subtask_type="surprise")]), "refused"),
    Shape("callback_kind_unhashable", _embedded(callbacks=[signature(subtask_type=[])]), "refused"),
    Shape("group_without_tasks", _embedded(callbacks=[signature("celery.group", subtask_type="group")]), "refused"),
    Shape("link_garbage_deep", _embedded(chord=signature(options={"link": [signature(options={"chord": 7})]})), "refused"),
    Shape("claim_check_text", _header(claim_check="s3://elsewhere"), "refused"),
    Shape(
        "protocol_1",
        encoded(valid_message() | {"headers": {}, "body": in_base64(json.dumps({"task": TASK, "id": TASK_ID, "args": [], "kwargs": {}}))}),
        "refused",
    ),
)

HOSTILE: tuple[Shape, ...] = _MEASURED + _THOUGHT_OF


# -- damage -------------------------------------------------------------------------------------------------------------

#: What a value is exchanged for. ``json.dumps`` writes NaN and Infinity as Celery's senders do.
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 10**4_000, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "0", "\x00",
    "\ud800", "\u202e", "x" * 300, "2026-01-01T00:00:00+00:00", "0001-01-01", "9999-12-31T23:59:59-23:59", "2026-W01", [], [None], [[]],
    [1, 2], [None, 10**400], {}, {"": None}, {"task": TASK}, {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"},
    {"__type__": "datetime", "__value__": 7}, {"__type__": "uuid", "__value__": {"int": -1}}, {"__type__": "base64", "__value__": "="},
    {"__type__": "bytes", "__value__": "x"}, {"__type__": "decimal", "__value__": "sNaN"}, {"__type__": {}, "__value__": 1},
)  # fmt: skip
_KEYS = (
    "task",
    "id",
    "get",
    "update",
    "_children",
    "chord",
    "headers",
    "eta",
    "timelimit",
    "__class__",
    "__type__",
    "",
    "\ud800",
    "args",
    "compression",
)
_NOISE = (
    "\x00",
    "\ud83d",
    "\udc00",
    "\ufeff",
    "\u2028",
    "\u202e",
    "é",
    "🙂",
    "\\",
    '"',
    "\\u0000",
    "\\ud800",
    "[",
    "{",
    "}",
    "]",
    ",",
    ":",
    "\n",
)


def _valid() -> list[tuple[dict[str, Any], list[Any]]]:
    """Envelopes and their inner bodies, of every kind that Celery sends."""
    group = signature("celery.group", kwargs={"tasks": [signature(), signature()]}, subtask_type="group")
    chord = signature("celery.chord", kwargs={"header": [signature()], "body": signature(), "kwargs": {}}, subtask_type="chord")
    nothing: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return [
        (valid_message(), [[], {"seconds": 0}, nothing]),
        (valid_message(eta="2026-01-01T00:00:10.500000+00:00", expires="2026-01-02T00:00:00+02:00"), [[0.25], {}, nothing]),
        (valid_message(timelimit=[30, 20.5], retries=2, shadow="debug"), [[], {}, nothing | {"callbacks": [signature()]}]),
        (
            valid_message(group="g-1", group_index=3),
            [[], {}, nothing | {"chord": signature(options={"task_id": "b", "link": [signature()]})}],
        ),
        (
            valid_message(tenant="acme"),
            [[], {}, nothing | {"chain": [signature(options={"chord": signature()}), group], "errbacks": [chord]}],
        ),
        (valid_message(stamped_headers=["stamp"], stamps={"stamp": ["a", "b"]}, stamp=["a"]), [["naïve 🙂"], {}, {}]),
    ]


def mutations(seed: int, count: int) -> Iterator[str]:
    """So many damaged messages, the same ones for the same seed. Some are still valid."""
    chance = random.Random(seed)  # noqa: S311 — to be repeatable
    valid = _valid()
    for _ in range(count):
        envelope, inner = copy.deepcopy(chance.choice(valid))
        is_inner, untouched = chance.random() < 0.5, envelope["body"]
        target: Any = inner if is_inner else envelope
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            target = chance.choice(_ON_VALUES)(chance, target)
        text = json.dumps(target)
        if chance.random() < 0.5:
            text = chance.choice(_ON_TEXT)(chance, text, json.dumps(chance.choice(valid)[1 if is_inner else 0]))
        if is_inner:
            is_plain = chance.random() < 0.3
            envelope["body"] = text if is_plain else _lenient_base64(text)
            envelope["properties"]["body_encoding"] = chance.choice((None, "utf-8")) if is_plain else "base64"
            text = json.dumps(envelope)
        else:
            text = text.replace(untouched, _lenient_base64(json.dumps(inner)))
        yield text if chance.random() < 0.5 else _lenient_base64(text)


def _lenient_base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a tree."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        at = waiting.pop()
        keys = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
        for key in keys:
            found.append((at, key))
            waiting.append(at[key])
    return found


def _exchange(chance: random.Random, tree: Any) -> Any:
    places = _places(tree)
    if not places or chance.random() < 0.02:
        return copy.deepcopy(chance.choice(_VALUES))
    container, key = chance.choice(places)
    container[key] = copy.deepcopy(chance.choice(_VALUES))
    return tree


def _leave_out(chance: random.Random, tree: Any) -> Any:
    if places := _places(tree):
        container, key = chance.choice(places)
        del container[key]
    return tree


def _put_in(chance: random.Random, tree: Any) -> Any:
    containers = [tree, *(container[key] for container, key in _places(tree))]
    container = chance.choice(containers)
    value = copy.deepcopy(chance.choice(_VALUES))
    if isinstance(container, dict):
        container[chance.choice(_KEYS)] = value
    elif isinstance(container, list):
        container.insert(chance.randint(0, len(container)), value)
    return tree


def _transplant(chance: random.Random, tree: Any) -> Any:
    if places := _places(tree):
        (source, source_key), (target, target_key) = chance.choice(places), chance.choice(places)
        target[target_key] = copy.deepcopy(source[source_key])
    return tree


def _flip_bits(chance: random.Random, text: str, _other: str) -> str:
    letters = list(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(letters))
        letters[at] = chr(ord(letters[at]) ^ 1 << chance.randrange(7))
    return "".join(letters)


def _truncate(chance: random.Random, text: str, _other: str) -> str:
    return text[: chance.randrange(len(text))]


def _splice(chance: random.Random, text: str, other: str) -> str:
    return text[: chance.randrange(len(text))] + other[chance.randrange(len(other)) :]


def _repeat_key(chance: random.Random, text: str, _other: str) -> str:
    opened = [at for at, letter in enumerate(text) if letter == "{"]
    if not opened:
        return text
    at = chance.choice(opened) + 1
    comma = "" if text[at : at + 1] == "}" else ", "
    return f"{text[:at]}{json.dumps(chance.choice(_KEYS))}: {json.dumps(chance.choice(_VALUES))}{comma}{text[at:]}"


def _huge_number(chance: random.Random, text: str, _other: str) -> str:
    digits = [at for at, letter in enumerate(text) if letter.isdigit()]
    if not digits:
        return text
    at = chance.choice(digits)
    return text[:at] + chance.choice(("9" * 400, "9" * 4_000, "9" * 6_000, "1e999", "-1e400", "1E-999")) + text[at + 1 :]


def _make_noise(chance: random.Random, text: str, _other: str) -> str:
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(_NOISE) + text[at:]
    return text


_ON_VALUES: tuple[Callable[[random.Random, Any], Any], ...] = (_exchange, _exchange, _exchange, _leave_out, _put_in, _transplant)
_ON_TEXT: tuple[Callable[[random.Random, str, str], str], ...] = (_flip_bits, _truncate, _splice, _repeat_key, _huge_number, _make_noise)
