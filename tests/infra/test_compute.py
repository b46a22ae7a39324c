"""What runs: each line of "correct by construction" that is about services, read in the templates of both stages."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.topology import TOPOLOGY, HttpHealth, PulseHealth, ServicePolicy
from app.topology.fargate import WRITABLE_DIRECTORIES
from app.topology.naming import log_group_name, service_name
from app.topology.one_offs import MIGRATE, OPERATOR
from infra.stages import DEV, PROD, STAGES, Stage
from tests.image.dockerfile import read_dockerfile
from tests.infra.conftest import Synthesise
from tests.infra.templates import Template, Templates, differences

DOCKERFILE = Path(__file__).resolve().parents[2] / "Dockerfile"
SERVICES = TOPOLOGY.services
WORKERS = [policy for policy in SERVICES if policy.consumes]
each_service = pytest.mark.parametrize("policy", SERVICES, ids=lambda policy: policy.name)


@pytest.fixture(params=STAGES.values(), ids=lambda stage: stage.name)
def stage(request: pytest.FixtureRequest) -> Stage:
    chosen: Stage = request.param
    return chosen


@pytest.fixture
def templates(request: pytest.FixtureRequest, stage: Stage) -> Templates:
    chosen: Templates = request.getfixturevalue(stage.name)
    return chosen


def _service(templates: Templates, stage: Stage, policy: ServicePolicy) -> Template:
    return templates.properties("AWS::ECS::Service", "ServiceName")[service_name(stage.name_prefix, policy.name)]


def _definition(templates: Templates, stage: Stage, name: str) -> Template:
    return templates.properties("AWS::ECS::TaskDefinition", "Family")[service_name(stage.name_prefix, name)]


def _containers(templates: Templates) -> Iterator[Template]:
    for definition in templates.resources("AWS::ECS::TaskDefinition"):
        yield from definition["Properties"]["ContainerDefinitions"]


# -- what there is ----------------------------------------------------------------------------------------------------
def test_every_service_of_the_topology_and_no_other_runs(templates: Templates, stage: Stage) -> None:
    assert set(templates.properties("AWS::ECS::Service", "ServiceName")) == {
        service_name(stage.name_prefix, policy.name) for policy in SERVICES
    }


@each_service
def test_a_service_runs_what_its_policy_says(templates: Templates, stage: Stage, policy: ServicePolicy) -> None:
    definition = _definition(templates, stage, policy.name)
    (container,) = definition["ContainerDefinitions"]

    assert container["Command"] == list(policy.command)
    assert (definition["Cpu"], definition["Memory"]) == (str(policy.cpu_units), str(policy.memory_mib))
    assert container["StopTimeout"] == policy.stop_timeout.total_seconds()
    assert {"Name": "SERVICE", "Value": policy.name} in container["Environment"]


def test_a_worker_may_finish_for_as_long_as_fargate_allows(templates: Templates, stage: Stage) -> None:
    for policy in WORKERS:
        assert _definition(templates, stage, policy.name)["ContainerDefinitions"][0]["StopTimeout"] == 120


@each_service
def test_a_service_that_is_scaled_names_no_number_of_copies(templates: Templates, stage: Stage, policy: ServicePolicy) -> None:
    copies = _service(templates, stage, policy).get("DesiredCount")

    if policy.scaling is not None:
        assert copies is None
    else:
        assert copies == (stage.web_copies if isinstance(policy.health, HttpHealth) else policy.copies)


def test_each_worker_service_is_scaled_within_its_policy(templates: Templates, stage: Stage) -> None:
    targets = [one["Properties"] for one in templates.resources("AWS::ApplicationAutoScaling::ScalableTarget")]
    found = {
        policy.name: (target["MinCapacity"], target["MaxCapacity"])
        for policy in SERVICES
        for target in targets
        if f"'{_logical_id(templates, stage, policy)}'" in str(target["ResourceId"])
    }

    assert found == {policy.name: (policy.scaling.minimum, policy.scaling.maximum) for policy in SERVICES if policy.scaling}


def _logical_id(templates: Templates, stage: Stage, policy: ServicePolicy) -> str:
    name = service_name(stage.name_prefix, policy.name)
    resources = templates.compute["Resources"].items()
    (key,) = (key for key, one in resources if one["Type"] == "AWS::ECS::Service" and one["Properties"]["ServiceName"] == name)
    return str(key)


# -- deployments ------------------------------------------------------------------------------------------------------
@each_service
def test_a_deployment_that_does_not_get_healthy_is_rolled_back(templates: Templates, stage: Stage, policy: ServicePolicy) -> None:
    configuration = _service(templates, stage, policy)["DeploymentConfiguration"]

    assert configuration["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (configuration["MinimumHealthyPercent"], configuration["MaximumPercent"]) == ((0, 100) if policy.singleton else (100, 200))


def test_beat_is_one_copy_on_demand_that_is_not_moved_between_zones(templates: Templates, stage: Stage) -> None:
    (beat,) = (_service(templates, stage, policy) for policy in SERVICES if policy.singleton)

    assert beat["DesiredCount"] == 1
    assert beat["AvailabilityZoneRebalancing"] == "DISABLED"
    assert {one["CapacityProvider"] for one in beat["CapacityProviderStrategy"]} == {"FARGATE"}


@each_service
def test_the_copies_that_are_always_there_are_on_demand(templates: Templates, stage: Stage, policy: ServicePolicy) -> None:
    strategy = {one["CapacityProvider"]: one for one in _service(templates, stage, policy)["CapacityProviderStrategy"]}

    assert strategy["FARGATE"]["Base"] == policy.steady_copies
    assert strategy.get("FARGATE_SPOT", {}).get("Weight", 0) == policy.spot_weight
    assert (policy.spot_weight > 0) is bool(policy.consumes)


def test_no_service_gets_a_release_before_the_schema_has(templates: Templates) -> None:
    (schema,) = (key for key, resource in templates.compute["Resources"].items() if resource["Type"] == "Custom::DatabaseSchema")

    for service in templates.resources("AWS::ECS::Service"):
        assert schema in service["DependsOn"]


def test_the_schema_is_brought_by_the_release_s_own_migrations(templates: Templates, stage: Stage) -> None:
    (schema,) = templates.resources("Custom::DatabaseSchema")
    definition = schema["Properties"]["TaskDefinition"]["Ref"]

    (container,) = templates.compute["Resources"][definition]["Properties"]["ContainerDefinitions"]
    assert container["Command"] == list(MIGRATE.command)
    assert container["Image"] == _definition(templates, stage, "web")["ContainerDefinitions"][0]["Image"]


def test_another_release_migrates_again(prod: Templates, synthesise: Synthesise) -> None:
    other = synthesise(TOPOLOGY, replace(PROD, release="2026-11-26"))

    (before,), (after,) = (templates.resources("Custom::DatabaseSchema") for templates in (prod, other))
    assert before["Properties"]["Release"] != after["Properties"]["Release"] == "2026-11-26"


def test_capacity_is_there_before_whatever_asks_for_it(templates: Templates) -> None:
    resources = templates.compute["Resources"]
    (capacity,) = (key for key, one in resources.items() if one["Type"] == "AWS::ECS::ClusterCapacityProviderAssociations")

    for kind in ("AWS::ECS::Service", "Custom::DatabaseSchema"):
        for resource in templates.resources(kind):
            assert capacity in resource["DependsOn"]


# -- a person's commands ----------------------------------------------------------------------------------------------
def test_a_person_s_commands_have_a_definition_that_nothing_runs_by_itself(templates: Templates, stage: Stage) -> None:
    definition = _definition(templates, stage, OPERATOR.name)
    (container,) = definition["ContainerDefinitions"]

    assert container["Command"] == list(OPERATOR.command)
    assert container["Image"] == _definition(templates, stage, "web")["ContainerDefinitions"][0]["Image"]
    assert container["StopTimeout"] == OPERATOR.stop_timeout.total_seconds()
    (key,) = (key for key, one in templates.compute["Resources"].items() if one.get("Properties") == definition)
    assert [name for name, one in templates.compute["Resources"].items() if {"Ref": key} in _values(one.get("Properties", {}))] == []


def _values(value: Any) -> Iterator[Any]:
    """A part of a template, and all that is inside of it."""
    yield value
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _values(inside)


# -- containers -------------------------------------------------------------------------------------------------------
def test_containers_have_a_read_only_root_and_an_init_process(templates: Templates) -> None:
    for container in _containers(templates):
        assert container["ReadonlyRootFilesystem"] is True
        assert container["LinuxParameters"]["InitProcessEnabled"] is True
        assert container.get("Privileged") is None


def test_what_containers_write_to_is_what_the_image_makes(prod: Templates) -> None:
    _, stages = read_dockerfile(DOCKERFILE.read_text())
    assert set(stages[-1].last("VOLUME").words()) == set(WRITABLE_DIRECTORIES)

    for container in _containers(prod):
        assert {mount["ContainerPath"] for mount in container["MountPoints"]} == set(WRITABLE_DIRECTORIES)


def test_a_shell_can_be_opened_in_dev_only(dev: Templates, prod: Templates) -> None:
    assert {service["Properties"]["EnableExecuteCommand"] for service in dev.resources("AWS::ECS::Service")} == {True}
    assert {service["Properties"]["EnableExecuteCommand"] for service in prod.resources("AWS::ECS::Service")} == {False}
    assert not any("ssmmessages" in str(statement) for _, statement in prod.statements("AWS::IAM::Policy"))


def test_images_and_tasks_are_of_the_same_processor(templates: Templates) -> None:
    for definition in templates.resources("AWS::ECS::TaskDefinition"):
        assert definition["Properties"]["RuntimePlatform"] == {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}


@each_service
def test_a_deaf_worker_is_found_by_its_pulse(templates: Templates, stage: Stage, policy: ServicePolicy) -> None:
    check = _definition(templates, stage, policy.name)["ContainerDefinitions"][0]["HealthCheck"]

    assert check["Command"] == ["CMD", "python", "-m", "app.config.probe"]
    assert check["StartPeriod"] == policy.start_period.total_seconds()
    if isinstance(policy.health, PulseHealth):
        found_after = policy.health.max_age.total_seconds() + check["Interval"] * check["Retries"]
        assert found_after <= 240


def test_lines_that_cloudwatch_does_not_take_hold_up_no_job(templates: Templates, stage: Stage) -> None:
    groups = {
        key: resource["Properties"] for key, resource in templates.compute["Resources"].items() if resource["Type"] == "AWS::Logs::LogGroup"
    }
    for container in _containers(templates):
        options = container["LogConfiguration"]["Options"]
        assert options["mode"] == ("blocking" if container["Name"] == OPERATOR.name else "non-blocking")
        assert groups[options["awslogs-group"]["Ref"]]["LogGroupName"] == log_group_name(stage.name_prefix, container["Name"])


def test_every_line_is_forgotten_in_time(templates: Templates, stage: Stage) -> None:
    groups = templates.resources("AWS::Logs::LogGroup")

    assert len(groups) > len(SERVICES)
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {stage.log_retention.days}


# -- environment ------------------------------------------------------------------------------------------------------
def test_containers_get_what_has_no_default_and_secrets_as_secrets(templates: Templates) -> None:
    required = {variable.name for variable in TOPOLOGY.variables if variable.default is None}
    secret = {variable.name for variable in TOPOLOGY.variables if variable.secret}

    for container in _containers(templates):
        clear = {one["Name"] for one in container["Environment"]}
        hidden = {one["Name"] for one in container["Secrets"]}
        assert required <= clear | hidden
        assert hidden == secret
        assert not clear & secret


def test_each_execution_role_reads_the_secrets_of_its_task_and_no_others(templates: Templates) -> None:
    resources = templates.compute["Resources"]
    for definition in templates.resources("AWS::ECS::TaskDefinition"):
        role = definition["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]
        allowed = [
            arn
            for statement in _policies_of(resources, role)
            if "secretsmanager:GetSecretValue" in statement["Action"]
            for arn in _listed(statement["Resource"])
        ]
        needed = [_secret_of(one["ValueFrom"]) for one in definition["Properties"]["ContainerDefinitions"][0]["Secrets"]]
        assert sorted(map(str, allowed)) == sorted(map(str, needed))


def test_each_execution_role_writes_to_its_own_lines_only(templates: Templates) -> None:
    resources = templates.compute["Resources"]
    for definition in templates.resources("AWS::ECS::TaskDefinition"):
        role = definition["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]
        group = definition["Properties"]["ContainerDefinitions"][0]["LogConfiguration"]["Options"]["awslogs-group"]["Ref"]
        written = [one["Resource"] for one in _policies_of(resources, role) if "logs:PutLogEvents" in one["Action"]]
        assert written == [{"Fn::GetAtt": [group, "Arn"]}]


def _policies_of(resources: Template, role: str) -> list[Template]:
    policies = (one["Properties"] for one in resources.values() if one["Type"] == "AWS::IAM::Policy")
    return [statement for policy in policies if {"Ref": role} in policy["Roles"] for statement in policy["PolicyDocument"]["Statement"]]


def _secret_of(value: Any) -> Any:
    """Without the key inside of it."""
    return value["Fn::Join"][1][0] if "Fn::Join" in value else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# -- where they are ---------------------------------------------------------------------------------------------------
def test_no_task_has_a_public_address(templates: Templates) -> None:
    for service in templates.resources("AWS::ECS::Service"):
        network = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert all("private" in str(subnet) for subnet in network["Subnets"])


def test_without_a_certificate_the_output_warns_of_plain_http(templates: Templates) -> None:
    (listener,) = templates.resources("AWS::ElasticLoadBalancingV2::Listener")
    (url,) = (output for key, output in templates.compute["Outputs"].items() if "PublicUrl" in key)

    assert listener["Properties"]["Protocol"] == "HTTP"
    assert "PLAIN HTTP" in url["Description"]


def test_with_a_certificate_plain_http_is_sent_on(synthesise: Synthesise) -> None:
    arn = "arn:aws:acm:eu-central-1:111111111111:certificate/0"
    templates = synthesise(TOPOLOGY, replace(DEV, certificate_arn=arn, domain="shop.example.com"))

    listeners = {one["Properties"]["Protocol"]: one["Properties"] for one in templates.resources("AWS::ElasticLoadBalancingV2::Listener")}
    (action,) = listeners["HTTP"]["DefaultActions"]
    assert (action["Type"], action["RedirectConfig"]["Protocol"]) == ("redirect", "HTTPS")
    assert listeners["HTTPS"]["Certificates"] == [{"CertificateArn": arn}]
    assert listeners["HTTPS"]["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    for container in _containers(templates):
        assert {"Name": "PUBLIC_URL", "Value": "https://shop.example.com"} in container["Environment"]


def test_requests_go_to_web_containers_that_live(templates: Templates, stage: Stage) -> None:
    web = TOPOLOGY.service("web")
    assert isinstance(web.health, HttpHealth)
    (group,) = templates.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
    (balanced,) = _service(templates, stage, web)["LoadBalancers"]

    assert group["Properties"]["HealthCheckPath"] == web.health.path
    assert group["Properties"]["TargetType"] == "ip"
    assert (balanced["ContainerName"], balanced["ContainerPort"]) == ("web", group["Properties"]["Port"])
    assert [one for one in SERVICES if _service(templates, stage, one).get("LoadBalancers")] == [web]


def test_prod_s_load_balancer_refuses_to_be_deleted(prod: Templates) -> None:
    (balancer,) = prod.resources("AWS::ElasticLoadBalancingV2::LoadBalancer")
    attributes = {one["Key"]: one["Value"] for one in balancer["Properties"]["LoadBalancerAttributes"]}

    assert attributes["deletion_protection.enabled"] == "true"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"


# -- one number changes one thing -------------------------------------------------------------------------------------
def test_more_memory_for_one_service_changes_one_task_definition(dev: Templates, synthesise: Synthesise) -> None:
    beat = TOPOLOGY.service("beat")
    larger = replace(beat, memory_mib=beat.memory_mib * 2)
    topology = replace(TOPOLOGY, services=tuple(larger if one is beat else one for one in SERVICES))

    changed = synthesise(topology, DEV)

    (path,) = differences(dev.compute, changed.compute)
    assert path[-2:] == ("Properties", "Memory")
    assert dev.compute["Resources"][path[1]]["Properties"]["Family"] == service_name(DEV.name_prefix, beat.name)
    assert {name for name in dev.stacks if dev.stacks[name] != changed.stacks[name]} == {"compute"}
