"""What scales a service: its target, four policies and the alarms that call them, on a stack of their own."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.validate import ParamValidator

from app.topology import TOPOLOGY, ServicePolicy
from app.topology.scaling import (
    FAST_OUT,
    IDLE_IN,
    LAST_DESIRED,
    NATIVE_IN,
    NATIVE_OUT,
    RULES,
    SLOW_IN,
    StepRule,
    native_expression,
    rules_for,
)
from tests.infra.templates import Template

if TYPE_CHECKING:
    from aws_cdk import Stack

PREFIX = "millrace-dev"
SCALED = [service for service in TOPOLOGY.services if service.scaling is not None]
FOLLOWED = [(service, rule) for service in SCALED if service.scaling is not None for rule in rules_for(service.scaling)]
followed = pytest.mark.parametrize(("service", "rule"), FOLLOWED, ids=lambda either: either.name)


def follower(rule: StepRule) -> ServicePolicy:
    return next(service for service, each in FOLLOWED if each is rule)


def scaled_stack(services: list[ServicePolicy]) -> "Stack":
    """A cluster with these services and nothing else that the construct needs."""
    from aws_cdk import Stack, aws_ec2, aws_ecs

    from infra.app import new_app
    from infra.constructs.deficit_scaling import DeficitScaling

    stack = Stack(new_app(), f"{PREFIX}-scaled")
    cluster = aws_ecs.Cluster(stack, "Cluster", cluster_name=PREFIX, vpc=aws_ec2.Vpc(stack, "Vpc", nat_gateways=0))
    definition = aws_ecs.FargateTaskDefinition(stack, "Task")
    definition.add_container("worker", image=aws_ecs.ContainerImage.from_registry("worker"))
    for policy in services:
        service = aws_ecs.FargateService(
            stack,
            policy.name,
            cluster=cluster,
            task_definition=definition,
            service_name=f"{PREFIX}-{policy.name}",
            min_healthy_percent=100,
        )
        assert policy.scaling is not None
        DeficitScaling(stack, service=service, policy=policy, scaling=policy.scaling, name_prefix=PREFIX)
    return stack


@pytest.fixture(scope="session")
def template(node: str) -> Template:
    from aws_cdk import assertions

    return dict(assertions.Template.from_stack(scaled_stack(SCALED)).to_json())


def resources(template: Template, kind: str) -> dict[str, Any]:
    return {key: each["Properties"] for key, each in template["Resources"].items() if each["Type"] == kind}


def policy_of(template: Template, service: ServicePolicy, rule: StepRule) -> tuple[str, Any]:
    ((key, properties),) = (
        (key, each)
        for key, each in resources(template, "AWS::ApplicationAutoScaling::ScalingPolicy").items()
        if each["PolicyName"] == f"{service.name}-{rule.name}"
    )
    return key, properties


def alarm_of(template: Template, service: ServicePolicy, rule: StepRule) -> Any:
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    (found,) = (alarm for alarm in alarms if alarm["AlarmName"] == f"{PREFIX}-{service.name}-{rule.name}")
    return found


def resolved(value: Any) -> Any:
    """References as some text of the right form, for the models of AWS's own client."""
    if isinstance(value, list):
        return [resolved(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) & {"Ref", "Fn::GetAtt", "Fn::Join"}:
        return "arn:aws:made:eu-central-1:123456789012:up"
    return {name: resolved(each) for name, each in value.items()}


@cache
def input_shape(api: str, operation: str) -> Any:
    client = boto3.session.Session(region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x").client(api)
    return client.meta.service_model.operation_model(operation).input_shape


def problems(api: str, operation: str, parameters: dict[str, Any]) -> str:
    return str(ParamValidator().validate(parameters, input_shape(api, operation)).generate_report())


def change_of(steps: list[dict[str, Any]], threshold: float, figure: float) -> int:
    """As Auto Scaling chooses it. Of an interval above the threshold the lower bound belongs to it, below it the upper one."""
    if (figure < threshold) if threshold > 0 else (figure > threshold):
        return 0
    distance = figure - threshold
    for step in steps:
        low, high = step.get("MetricIntervalLowerBound", -(10**9)), step.get("MetricIntervalUpperBound", 10**9)
        if (low <= distance < high) if threshold > 0 else (low < distance <= high):
            return int(step["ScalingAdjustment"])
    raise AssertionError(f"no step for {figure}")


@pytest.mark.parametrize("service", SCALED, ids=lambda service: service.name)
def test_auto_scaling_keeps_the_number_of_tasks_within_the_policy(template: Template, service: ServicePolicy) -> None:
    assert service.scaling is not None
    names = {each["ServiceName"]: key for key, each in resources(template, "AWS::ECS::Service").items()}
    target = next(
        each
        for each in resources(template, "AWS::ApplicationAutoScaling::ScalableTarget").values()
        if names[f"{PREFIX}-{service.name}"] in str(each["ResourceId"])
    )

    assert (target["MinCapacity"], target["MaxCapacity"]) == (service.scaling.minimum, service.scaling.maximum)
    assert (target["ServiceNamespace"], target["ScalableDimension"]) == ("ecs", "ecs:service:DesiredCount")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_deficit_gets_the_change_of_the_rule(template: Template, rule: StepRule) -> None:
    _, policy = policy_of(template, follower(rule), rule)
    alarm = alarm_of(template, follower(rule), rule)
    configuration = policy["StepScalingPolicyConfiguration"]

    for missing in range(-60, 61):
        assert change_of(configuration["StepAdjustments"], alarm["Threshold"], missing) == rule.change(missing)
    assert configuration["AdjustmentType"] == "ChangeInCapacity"
    assert configuration["MetricAggregationType"] == rule.aggregation
    assert configuration["Cooldown"] == rule.cooldown.total_seconds()


@followed
def test_its_alarm_calls_it_after_so_long_and_not_when_there_are_no_figures(
    template: Template, service: ServicePolicy, rule: StepRule
) -> None:
    key, _ = policy_of(template, service, rule)
    alarm = alarm_of(template, service, rule)

    assert alarm["AlarmActions"] == [{"Ref": key}]
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (rule.datapoints_to_alarm, rule.evaluation_periods)
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["ComparisonOperator"] == ("LessThanOrEqualToThreshold" if rule.changes[0] < 0 else "GreaterThanOrEqualToThreshold")


@pytest.mark.parametrize("rule", [FAST_OUT, SLOW_IN, IDLE_IN], ids=lambda rule: rule.name)
def test_the_alarm_looks_at_what_beat_publishes(template: Template, rule: StepRule) -> None:
    service = follower(rule)
    alarm = alarm_of(template, service, rule)

    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("Millrace", "CapacityDeficit", "Maximum")
    assert alarm["Dimensions"] == [{"Name": "Deployment", "Value": PREFIX}, {"Name": "Service", "Value": service.name}]
    assert alarm["Period"] == rule.period.total_seconds()


@pytest.mark.parametrize("rule", [NATIVE_OUT, NATIVE_IN], ids=lambda rule: rule.name)
@pytest.mark.parametrize("service", SCALED, ids=lambda service: service.name)
def test_the_fallback_is_the_same_formula_of_the_queue_and_the_service(template: Template, service: ServicePolicy, rule: StepRule) -> None:
    assert service.scaling is not None
    queries = {query["Id"]: query for query in alarm_of(template, service, rule)["Metrics"]}
    expressions = {query["Id"]: query["Expression"] for query in queries.values() if "Expression" in query}
    assert expressions.pop("last_desired") == LAST_DESIRED
    (expression,) = expressions.values()
    found = {
        name: (
            stat["Metric"]["Namespace"],
            stat["Metric"]["MetricName"],
            stat["Stat"],
            stat["Period"],
            {each["Name"]: each["Value"] for each in stat["Metric"]["Dimensions"]},
        )
        for name, stat in ((name, query["MetricStat"]) for name, query in queries.items() if "MetricStat" in query)
    }

    queue = {"QueueName": f"{PREFIX}-{service.consumes[0]}"}
    assert expression == native_expression(service.slots, service.scaling)
    assert set(re.findall(r"[a-z_]{3,}", f"{expression} {LAST_DESIRED}")) - {"last_desired"} == set(found)
    assert [query["Id"] for query in queries.values() if query.get("ReturnData", True)] == [
        name for name, query in queries.items() if query.get("Expression") == expression
    ]
    assert found == {
        "visible": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", 60, queue),
        "in_flight": ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Maximum", 60, queue),
        "desired": (
            "ECS/ContainerInsights",
            "DesiredTaskCount",
            "Maximum",
            60,
            {"ClusterName": PREFIX, "ServiceName": f"{PREFIX}-{service.name}"},
        ),
        "samples": ("Millrace", "CapacityDeficit", "SampleCount", 60, {"Deployment": PREFIX, "Service": service.name}),
    }


def test_aws_s_own_models_accept_every_target_policy_and_alarm(template: Template) -> None:
    api = "application-autoscaling"
    identity = {"ServiceNamespace": "ecs", "ResourceId": "service/a/b", "ScalableDimension": "ecs:service:DesiredCount"}
    found = [
        *(
            problems(api, "RegisterScalableTarget", resolved(each))
            for each in resources(template, "AWS::ApplicationAutoScaling::ScalableTarget").values()
        ),
        *(
            problems(
                api, "PutScalingPolicy", identity | {name: resolved(value) for name, value in each.items() if name != "ScalingTargetId"}
            )
            for each in resources(template, "AWS::ApplicationAutoScaling::ScalingPolicy").values()
        ),
        *(
            problems("cloudwatch", "PutMetricAlarm", resolved({name: value for name, value in each.items() if name != "Tags"}))
            for each in resources(template, "AWS::CloudWatch::Alarm").values()
        ),
    ]

    assert found == [""] * (9 * len(SCALED))
