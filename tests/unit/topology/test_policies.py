"""What cannot exist in AWS cannot be written down."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.topology import (
    AlarmPolicy,
    BucketPolicy,
    HttpHealth,
    IndexPolicy,
    KeyAttribute,
    KeyType,
    Measure,
    MetricPolicy,
    MetricUnit,
    PulseHealth,
    QueuePolicy,
    ScalingPolicy,
    ServicePolicy,
    TablePolicy,
    Topology,
    TopologyError,
    VariablePolicy,
)
from app.topology.policies import LONGEST_LOGICAL_NAME, MOST_DIMENSIONS, MOST_INDEXES

HOUR = timedelta(hours=1)

QUEUE = QueuePolicy(name="letters", purpose="Paper.", routes=("letters.*",))
INDEX = IndexPolicy(name="by_day", partition_key=KeyAttribute(name="day"), sort_key=KeyAttribute(name="at"), projected=())
TABLE = TablePolicy(name="stamps", purpose="Postage.", partition_key=KeyAttribute(name="id"), ttl_attribute="ttl", indexes=(INDEX,))
BUCKET = BucketPolicy(name="scans", purpose="Pictures.", expire_after=timedelta(days=1))
WORKER = ServicePolicy(name="worker-letters", purpose="Writes.", command=("celery",), health=PulseHealth(), consumes=("letters",), slots=4)
SCALING = ScalingPolicy(minimum=1, maximum=9, wait_goal=timedelta(minutes=1), expected_run_time=timedelta(seconds=1))
VARIABLE = VariablePolicy(name="LOG_LEVEL", purpose="How much.", default="INFO")
METRIC = MetricPolicy(name="Letters", purpose="How many.", unit=MetricUnit.COUNT, dimensions=("Queue",))
MEASURE = Measure(metric=METRIC, statistic="Maximum", dimensions={"Queue": "{prefix}-letters"})
ALARM = AlarmPolicy(
    name="letters-old",
    purpose="They lie about.",
    measures={"lying": MEASURE},
    threshold=1,
    reason="Paper turns yellow.",
    runbook="oldest-message.md",
)
TOPOLOGY = Topology(
    queues=(QUEUE,), tables=(TABLE,), buckets=(BUCKET,), services=(WORKER,), variables=(VARIABLE,), metrics=(METRIC,), alarms=(ALARM,)
)

REFUSALS: list[tuple[Any, dict[str, Any], str, str]] = [
    (QUEUE, {"name": ""}, "name", "expected at most 34 lower-case letters"),
    (QUEUE, {"name": "Letters"}, "name", "expected at most 34 lower-case letters"),
    (QUEUE, {"name": "1letters"}, "name", "beginning with a letter"),
    (QUEUE, {"name": "a letter"}, "name", "expected at most 34 lower-case letters"),
    (QUEUE, {"name": "letters.fifo"}, "name", "expected at most 34 lower-case letters"),
    (QUEUE, {"name": "x" * (LONGEST_LOGICAL_NAME + 1)}, "name", "expected at most 34"),
    (QUEUE, {"name": "letters-dead-letters"}, "name", "every queue gets such a twin"),
    (QUEUE, {"routes": ()}, "routes", "expected at least one pattern such as 'payments.*'"),
    (QUEUE, {"routes": ("letters.*", "")}, "routes", "expected at least one pattern"),
    (QUEUE, {"visibility_timeout": timedelta(seconds=14)}, "visibility_timeout", "expected 0:00:15 to 12:00:00, got 0:00:14"),
    (QUEUE, {"visibility_timeout": timedelta(hours=12, seconds=1)}, "visibility_timeout", "expected 0:00:15 to 12:00:00"),
    (QUEUE, {"visibility_timeout": timedelta(seconds=15.5)}, "visibility_timeout", "whole seconds"),
    (QUEUE, {"visibility_timeout": timedelta(minutes=31)}, "visibility_timeout", "Shorten it"),
    (QUEUE, {"time_limit": timedelta(0)}, "time_limit", "expected a positive duration"),
    (QUEUE, {"soft_time_limit": timedelta(0)}, "soft_time_limit", "expected less than time_limit (0:30:00), got 0:00:00"),
    (QUEUE, {"soft_time_limit": timedelta(minutes=30)}, "soft_time_limit", "expected less than time_limit"),
    (QUEUE, {"time_limit": 12 * HOUR}, "time_limit", "Split the work into shorter tasks that checkpoint"),
    (QUEUE, {"max_receive_count": 0}, "max_receive_count", "expected 1 to 1000, got 0"),
    (QUEUE, {"max_receive_count": 1001}, "max_receive_count", "expected 1 to 1000, got 1001"),
    (QUEUE, {"retention": timedelta(seconds=59)}, "retention", "expected 0:01:00 to 14 days"),
    (QUEUE, {"retention": timedelta(days=14, seconds=1)}, "retention", "expected 0:01:00 to 14 days"),
    (QUEUE, {"dead_letter_retention": timedelta(days=3)}, "dead_letter_retention", "expected 4 days, 0:00:00 to 14 days"),
    (QUEUE, {"dead_letter_retention": timedelta(days=15)}, "dead_letter_retention", "expected 4 days, 0:00:00 to 14 days"),
    (QUEUE, {"alarm_age": timedelta(0)}, "alarm_age", "expected less than retention"),
    (QUEUE, {"alarm_age": timedelta(days=4)}, "alarm_age", "nobody would ever be told"),
    (TABLE, {"name": "Stamps"}, "name", "expected at most 34 lower-case letters"),
    (TABLE, {"indexes": tuple(replace(INDEX, name=f"i{n}") for n in range(MOST_INDEXES + 1))}, "indexes", "DynamoDB allows 20, got 21"),
    (TABLE, {"indexes": (INDEX, INDEX)}, "indexes", "'by_day' stands there twice"),
    (TABLE, {"partition_key": KeyAttribute(name="day", type=KeyType.NUMBER)}, "indexes", "'day' is declared as S and as N"),
    (TABLE, {"sort_key": KeyAttribute(name="id")}, "sort_key", "'id' is the partition key already"),
    (TABLE, {"sort_key": KeyAttribute(name="day", type=KeyType.NUMBER)}, "indexes", "'day' is declared as S and as N"),
    (TABLE, {"sort_key": KeyAttribute(name="ttl", type=KeyType.NUMBER)}, "ttl_attribute", "'ttl' is a key; DynamoDB wants a plain number"),
    (TABLE, {"ttl_attribute": "id"}, "ttl_attribute", "'id' is a key; DynamoDB wants a plain number"),
    (TABLE, {"ttl_attribute": "at"}, "ttl_attribute", "'at' is a key; DynamoDB wants a plain number"),
    (BUCKET, {"name": "Scans"}, "name", "expected at most 34 lower-case letters"),
    (BUCKET, {"name": "old_scans"}, "name", "no underscore"),
    (BUCKET, {"name": "scans-"}, "name", "a letter or digit at the end"),
    (BUCKET, {"name": "x" * 31}, "name", "at most 30 characters after the prefix"),
    (BUCKET, {"expire_after": timedelta(0)}, "expire_after", "S3 counts whole days"),
    (BUCKET, {"expire_after": timedelta(days=1, hours=1)}, "expire_after", "S3 counts whole days"),
    (WORKER, {"slots": 0}, "slots", "expected 1 or more of a service that consumes queues, and 0 of another, got 0"),
    (WORKER, {"slots": -4}, "slots", "expected 1 or more of a service that consumes queues, and 0 of another, got -4"),
    (WORKER, {"consumes": ()}, "slots", "expected 1 or more of a service that consumes queues, and 0 of another, got 4"),
    (WORKER, {"scaling": SCALING, "consumes": ("letters", "parcels")}, "scaling", "expected a service of one queue and of many copies"),
    (WORKER, {"scaling": SCALING, "singleton": True}, "scaling", "expected a service of one queue and of many copies"),
    (WORKER, {"name": "worker letters"}, "name", "expected at most 34 lower-case letters"),
    (WORKER, {"command": ()}, "command", "expected the program and its arguments, got nothing"),
    (WORKER, {"consumes": ("letters", "letters")}, "consumes", "'letters' stands there twice"),
    (WORKER, {"stop_timeout": timedelta(0)}, "stop_timeout", "expected 0:00:01 to 0:02:00"),
    (WORKER, {"stop_timeout": timedelta(seconds=121)}, "stop_timeout", "expected 0:00:01 to 0:02:00, got 0:02:01"),
    (VARIABLE, {"name": "log_level"}, "name", "expected capitals, digits and underscores"),
    (VARIABLE, {"secret": True}, "default", "a secret has no default: it would stand in the code"),
    (METRIC, {"dimensions": tuple(f"D{n}" for n in range(MOST_DIMENSIONS + 1))}, "dimensions", "CloudWatch allows 30, got 31"),
    (ALARM, {"name": "Letters old"}, "name", "expected at most 34 lower-case letters"),
    (ALARM, {"period": timedelta(0)}, "period", "CloudWatch knows 10, 20, 30 seconds and whole minutes"),
    (ALARM, {"period": timedelta(seconds=-60)}, "period", "CloudWatch knows 10, 20, 30 seconds and whole minutes"),
    (ALARM, {"period": timedelta(seconds=45)}, "period", "CloudWatch knows 10, 20, 30 seconds and whole minutes, got 0:00:45"),
    (ALARM, {"evaluation_periods": 0}, "evaluation_periods", "expected 1 or more, got 0"),
    (ALARM, {"threshold": 0}, "threshold", "it rings for ever"),
    (ALARM, {"measures": {}}, "measures", "expected 1 to 10, got 0"),
    (ALARM, {"measures": {f"m{number}": MEASURE for number in range(11)}}, "measures", "expected 1 to 10, got 11"),
    (ALARM, {"measures": {"Lying": MEASURE}}, "measures", "a name of lower-case letters, digits and _, got 'Lying'"),
    (ALARM, {"measures": {"lying": MEASURE, "read": MEASURE}}, "expression", "it lacks lying, read"),
    (ALARM, {"expression": "2 * lie"}, "expression", "it lacks lying"),
    (METRIC, {"other_dimensions": (("Task",),)}, "other_dimensions", "expected some of Queue"),
    (METRIC, {"other_dimensions": (tuple("Queue" for _ in range(31)),)}, "dimensions", "CloudWatch allows 30, got 31"),
    (MEASURE, {"dimensions": {}}, "dimensions", "it is published by Queue; got none"),
    (MEASURE, {"dimensions": {"Queue": "letters", "Task": "write"}}, "dimensions", "it is published by Queue; got Queue, Task"),
    (MEASURE, {"dimensions": {"Queue": "{stage}-letters"}}, "dimensions", "nobody knows {'stage'}"),
    (MEASURE, {"statistic": "Mean"}, "statistic", "expected one such as Sum, Maximum or p95, got 'Mean'"),
]


@pytest.mark.parametrize(
    ("policy", "change", "field", "way_out"),
    REFUSALS,
    ids=[f"{type(policy).__name__}-{'-'.join(change)}-{number}" for number, (policy, change, _, _) in enumerate(REFUSALS)],
)
def test_what_aws_would_refuse_is_refused_with_policy_field_and_way_out(
    policy: Any, change: dict[str, Any], field: str, way_out: str
) -> None:
    with pytest.raises(TopologyError) as refused:
        replace(policy, **change)

    name = change.get("name", policy.metric.name if isinstance(policy, Measure) else policy.name)
    assert str(refused.value).startswith(f"{type(policy).__name__} {name!r}: {field}: ")
    assert way_out in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        (QUEUE, {"name": "x" * LONGEST_LOGICAL_NAME}),
        (QUEUE, {"visibility_timeout": timedelta(seconds=15)}),
        (QUEUE, {"visibility_timeout": timedelta(minutes=30)}),
        (QUEUE, {"time_limit": 6 * HOUR, "visibility_timeout": 6 * HOUR}),
        (QUEUE, {"time_limit": timedelta(seconds=43_140)}),
        (QUEUE, {"max_receive_count": 1}),
        (QUEUE, {"max_receive_count": 1000}),
        (QUEUE, {"retention": timedelta(minutes=1), "alarm_age": timedelta(seconds=59)}),
        (QUEUE, {"retention": timedelta(days=14)}),
        (QUEUE, {"dead_letter_retention": timedelta(days=4)}),
        (TABLE, {"indexes": tuple(replace(INDEX, name=f"i{n}") for n in range(MOST_INDEXES))}),
        (BUCKET, {"name": "x" * 30}),
        (WORKER, {"stop_timeout": timedelta(seconds=1)}),
        (WORKER, {"stop_timeout": timedelta(seconds=120)}),
        (VARIABLE, {"secret": True, "default": None}),
        (METRIC, {"dimensions": tuple(f"D{n}" for n in range(MOST_DIMENSIONS))}),
        (ALARM, {"period": timedelta(seconds=10)}),
        (ALARM, {"period": timedelta(minutes=5)}),
    ],
)
def test_what_aws_just_allows_is_allowed(policy: Any, change: dict[str, Any]) -> None:
    assert replace(policy, **change)


def test_a_policy_does_not_change() -> None:
    with pytest.raises(AttributeError):
        QUEUE.name = "parcels"  # type: ignore[misc]


# -- the whole --------------------------------------------------------------------------------------------------------


def test_a_queue_that_no_service_consumes_is_refused() -> None:
    orphan = replace(QUEUE, name="parcels", routes=("parcels.*",))

    with pytest.raises(TopologyError, match=r"QueuePolicy 'parcels': name: no service consumes this queue.*app/topology/services.py"):
        replace(TOPOLOGY, queues=(QUEUE, orphan))


def test_a_service_that_consumes_an_unknown_queue_is_refused_and_told_the_known_ones() -> None:
    misspelt = replace(WORKER, name="worker-2", consumes=("leters",))

    with pytest.raises(TopologyError, match=r"ServicePolicy 'worker-2': consumes: there is no queue 'leters'; the queues are letters"):
        replace(TOPOLOGY, services=(WORKER, misspelt))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"wait_goal": timedelta(minutes=6)},
            r"wait_goal \(0:06:00\) is longer than alarm_age of letters \(0:05:00\): people would be woken",
        ),
        ({"expected_run_time": timedelta(minutes=31)}, r"expected_run_time \(0:31:00\) is longer than time_limit of letters \(0:30:00\)"),
    ],
)
def test_scaling_that_does_not_fit_its_queue_is_refused(change: dict[str, Any], problem: str) -> None:
    misfit = replace(WORKER, scaling=replace(SCALING, **change))

    with pytest.raises(TopologyError, match=rf"ServicePolicy 'worker-letters': scaling: {problem}"):
        replace(TOPOLOGY, services=(misfit,))


@pytest.mark.parametrize("name", ["LOG_LEVLE", "API_KEY"])
def test_a_variable_that_is_unknown_or_secret_is_refused_where_a_service_sets_it(name: str) -> None:
    odd = replace(WORKER, variables={name: "1"})

    with pytest.raises(TopologyError, match=f"ServicePolicy 'worker-letters': variables: there is no variable '{name}' that may stand in"):
        replace(TOPOLOGY, services=(odd,), variables=(VARIABLE, replace(VARIABLE, name="API_KEY", default=None, secret=True)))


@pytest.mark.parametrize(("policy", "field"), [(QUEUE, "routes"), (WORKER, "consumes"), (WORKER, "command")])
def test_a_forgotten_comma_is_noticed(policy: Any, field: str) -> None:
    with pytest.raises(
        TopologyError, match=rf"{field}: expected a tuple, got the string 'letters'; is there a comma missing: \('letters',\)\?"
    ):
        replace(policy, **{field: "letters"})


def test_one_route_leads_to_one_queue() -> None:
    rival = replace(QUEUE, name="parcels")

    with pytest.raises(TopologyError, match=r"routes: 'letters\.\*' stands there twice"):
        replace(TOPOLOGY, queues=(QUEUE, rival), services=(replace(WORKER, consumes=("letters", "parcels")),))


@pytest.mark.parametrize("kind", ["queues", "tables", "buckets", "services", "variables", "metrics", "alarms"])
def test_every_name_stands_once(kind: str) -> None:
    (policy,) = getattr(TOPOLOGY, kind)

    with pytest.raises(TopologyError, match=rf"{kind}: '{policy.name}' stands there twice"):
        replace(TOPOLOGY, **{kind: (policy, policy)})


def test_asking_for_an_unknown_policy_names_the_known_ones() -> None:
    for ask, known in ((TOPOLOGY.queue, "letters"), (TOPOLOGY.table, "stamps"), (TOPOLOGY.service, "worker-letters")):
        with pytest.raises(KeyError, match=f"'nothing' is not among {known}"):
            ask("nothing")


def test_health_policies_have_a_patience() -> None:
    assert HttpHealth(path="/health/live").timeout > timedelta(0)
    assert PulseHealth().max_age > timedelta(0)
