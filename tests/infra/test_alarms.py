from dataclasses import replace
from typing import Any

import boto3
from botocore.validate import ParamValidator

from app.topology import TOPOLOGY, AlarmPolicy, Comparison, Measure
from app.topology.naming import alarm_name
from infra.stages import DEV, PROD
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


def _without_imports(value: Any) -> Any:
    """The names that AWS makes up come from the stack of the load balancer."""
    if isinstance(value, dict):
        if isinstance(exported := value.get("Fn::ImportValue"), str):
            return {"LoadBalancerFullName": "{load_balancer}", "TargetGroupFullName": "{target_group}"}[_attribute(exported)]
        return {key: _without_imports(each) for key, each in value.items()}
    return [_without_imports(each) for each in value] if isinstance(value, list) else value


def _attribute(exported: str) -> str:
    return next(name for name in ("LoadBalancerFullName", "TargetGroupFullName") if name in exported)


def _metric(measure: Measure) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value.replace("{prefix}", PREFIX)} for name, value in sorted(measure.dimensions.items())]
    return {"Namespace": measure.metric.namespace, "MetricName": measure.metric.name, "Dimensions": dimensions}


def test_the_alarms_are_those_of_the_topology(prod: Templates) -> None:
    (topic,) = (key for key, resource in prod.observability["Resources"].items() if resource["Type"] == "AWS::SNS::Topic")
    told = [{"Ref": topic}]
    # Those of the other stacks scale, and tell nobody.
    alarms = {
        resource["Properties"]["AlarmName"]: _without_imports(resource["Properties"])
        for resource in prod.observability["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }

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
        parameters = {**_without_imports(alarm["Properties"]), "AlarmActions": ["arn:topic"], "OKActions": ["arn:topic"]}
        assert ParamValidator().validate(parameters, shape).generate_report() == ""


def test_alarms_and_budgets_of_this_account_may_tell_the_topic_and_nobody_else_may(prod: Templates) -> None:
    allowed = [statement for _, statement in prod.statements("AWS::SNS::TopicPolicy") if statement["Effect"] == "Allow"]

    assert {(each["Principal"]["Service"], each["Action"]) for each in allowed} == {
        ("cloudwatch.amazonaws.com", "sns:Publish"),
        ("budgets.amazonaws.com", "sns:Publish"),
    }
    assert all(each["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}} for each in allowed)


def test_each_stage_has_a_budget_that_tells_the_topic(dev: Templates, prod: Templates) -> None:
    session = boto3.session.Session(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    shape = session.client("budgets").meta.service_model.operation_model("CreateBudget").input_shape
    assert shape is not None

    for templates, stage in ((dev, DEV), (prod, PROD)):
        (resource,) = templates.resources("AWS::Budgets::Budget")
        budget, told = resource["Properties"]["Budget"], resource["Properties"]["NotificationsWithSubscribers"]
        assert budget["BudgetLimit"] == {"Amount": stage.monthly_budget_usd, "Unit": "USD"}
        assert {(each["Notification"]["NotificationType"], each["Notification"]["Threshold"]) for each in told} == {
            ("ACTUAL", 80),
            ("FORECASTED", 100),
        }
        (topic,) = (key for key, each in templates.observability["Resources"].items() if each["Type"] == "AWS::SNS::Topic")
        assert [each["Subscribers"] for each in told] == [[{"SubscriptionType": "SNS", "Address": {"Ref": topic}}]] * len(told)
        # CloudFormation takes a number where the API takes its text.
        parameters = {
            "AccountId": "123456789012",
            "Budget": budget | {"BudgetLimit": {"Amount": str(budget["BudgetLimit"]["Amount"]), "Unit": "USD"}},
            "NotificationsWithSubscribers": [
                each | {"Subscribers": [{"SubscriptionType": "SNS", "Address": "arn:topic"}]} for each in told
            ],
        }
        assert ParamValidator().validate(parameters, shape).generate_report() == ""


def test_an_address_in_the_stage_is_told_and_without_one_nobody_is(dev: Templates, synthesise: Synthesise) -> None:
    told = synthesise(TOPOLOGY, replace(DEV, alarm_email="oncall@example.com"))

    (subscription,) = told.resources("AWS::SNS::Subscription")
    assert (subscription["Properties"]["Protocol"], subscription["Properties"]["Endpoint"]) == ("email", "oncall@example.com")
    assert dev.resources("AWS::SNS::Subscription") == []
