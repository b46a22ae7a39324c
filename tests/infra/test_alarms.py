from dataclasses import replace
from typing import Any

import boto3
from botocore.validate import ParamValidator

from app.topology import TOPOLOGY, AlarmPolicy, Comparison, Measure
from app.topology.naming import alarm_name
from infra.stages import DEV
from tests.infra.conftest import Synthesise
from tests.infra.templates import Templates

PREFIX = "millrace-prod"


COMPARISONS = {Comparison.AT_LEAST: "GreaterThanOrEqualToThreshold", Comparison.BELOW: "LessThanThreshold"}


def _figure(policy: AlarmPolicy) -> dict[str, Any]:
    """What the alarm looks at, as CloudFormation says it."""
    seconds = policy.period.total_seconds()
    if not policy.expression:
        (measure,) = policy.measures.values()
        return {**_metric(measure), "Statistic": measure.statistic, "Period": seconds}
    read = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {"Metric": _metric(measure), "Period": seconds, "Stat": measure.statistic},
        }
        for name, measure in policy.measures.items()
    ]
    return {"Metrics": [{"Id": "expr_1", "Expression": policy.expression, "ReturnData": True}, *read]}


def _metric(measure: Measure) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value.replace("{prefix}", PREFIX)} for name, value in sorted(measure.dimensions.items())]
    return {"Namespace": measure.metric.namespace, "MetricName": measure.metric.name, "Dimensions": dimensions}


def test_the_alarms_are_those_of_the_topology(prod: Templates) -> None:
    (topic,) = (key for key, resource in prod.observability["Resources"].items() if resource["Type"] == "AWS::SNS::Topic")
    told = [{"Ref": topic}]
    alarms = prod.properties("AWS::CloudWatch::Alarm", "AlarmName")

    assert {name: {key: value for key, value in alarm.items() if key != "Tags"} for name, alarm in alarms.items()} == {
        alarm_name(PREFIX, policy.name): {
            "AlarmName": alarm_name(PREFIX, policy.name),
            "AlarmDescription": f"{policy.purpose} Runbook: docs/runbooks/{policy.runbook}",
            **_figure(policy),
            "Threshold": policy.threshold,
            "EvaluationPeriods": policy.evaluation_periods,
            "ComparisonOperator": COMPARISONS[policy.comparison],
            "TreatMissingData": "breaching" if policy.is_silence_bad else "notBreaching",
            "AlarmActions": told,
            "OKActions": told,
        }
        for policy in TOPOLOGY.alarms
    }


def test_cloudwatch_s_own_model_accepts_every_alarm(prod: Templates) -> None:
    client = boto3.session.Session(region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x").client("cloudwatch")
    shape = client.meta.service_model.operation_model("PutMetricAlarm").input_shape
    assert shape is not None

    for alarm in prod.resources("AWS::CloudWatch::Alarm"):
        parameters = {**alarm["Properties"], "AlarmActions": ["arn:topic"], "OKActions": ["arn:topic"]}
        assert ParamValidator().validate(parameters, shape).generate_report() == ""


def test_cloudwatch_of_this_account_may_tell_the_topic(prod: Templates) -> None:
    allowed = [statement for _, statement in prod.statements("AWS::SNS::TopicPolicy") if statement["Effect"] == "Allow"]

    assert [statement["Principal"] for statement in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
    assert allowed[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_an_address_in_the_stage_is_told_and_without_one_nobody_is(dev: Templates, synthesise: Synthesise) -> None:
    told = synthesise(TOPOLOGY, replace(DEV, alarm_email="oncall@example.com"))

    (subscription,) = told.resources("AWS::SNS::Subscription")
    assert (subscription["Properties"]["Protocol"], subscription["Properties"]["Endpoint"]) == ("email", "oncall@example.com")
    assert dev.resources("AWS::SNS::Subscription") == []
