"""Who can reach whom."""

from dataclasses import replace

import pytest

from app.topology import TOPOLOGY
from app.topology.variables import port_of
from infra.stages import DEV, PROD, Stage
from tests.infra.conftest import Synthesise
from tests.infra.templates import Template, Templates

ANYWHERE = "0.0.0.0/0"


@pytest.fixture(params=["dev", "prod"])
def templates(request: pytest.FixtureRequest) -> Templates:
    chosen: Templates = request.getfixturevalue(request.param)
    return chosen


def _route_targets(templates: Templates) -> dict[str, set[str]]:
    """By route table: where the world is."""
    found: dict[str, set[str]] = {
        key: set() for key, resource in templates.network["Resources"].items() if resource["Type"] == "AWS::EC2::RouteTable"
    }
    for route in templates.resources("AWS::EC2::Route"):
        properties = route["Properties"]
        assert properties["DestinationCidrBlock"] == ANYWHERE
        found[properties["RouteTableId"]["Ref"]] |= {key for key in ("GatewayId", "NatGatewayId") if key in properties}
    return found


def test_tasks_go_out_by_a_nat_and_the_database_s_subnets_nowhere(templates: Templates) -> None:
    ways = _route_targets(templates)

    assert {key for key, way in ways.items() if way == {"GatewayId"}} == {key for key in ways if "public" in key}
    assert {key for key, way in ways.items() if way == {"NatGatewayId"}} == {key for key in ways if "private" in key}
    assert {key for key, way in ways.items() if way == set()} == {key for key in ways if "isolated" in key} != set()


def test_no_subnet_gives_public_addresses_by_itself(templates: Templates) -> None:
    assert not any(subnet["Properties"].get("MapPublicIpOnLaunch") for subnet in templates.resources("AWS::EC2::Subnet"))


@pytest.mark.parametrize("stage", [DEV, PROD], ids=lambda stage: stage.name)
def test_a_stage_chooses_its_zones_and_ways_out(stage: Stage, request: pytest.FixtureRequest) -> None:
    templates: Templates = request.getfixturevalue(stage.name)

    assert len(templates.resources("AWS::EC2::NatGateway")) == stage.nat_gateways
    assert len(templates.resources("AWS::EC2::Subnet")) == 3 * stage.availability_zones


def test_objects_and_items_go_by_gateways_that_cost_nothing(templates: Templates) -> None:
    endpoints = [endpoint["Properties"] for endpoint in templates.resources("AWS::EC2::VPCEndpoint")]

    assert {endpoint["VpcEndpointType"] for endpoint in endpoints} == {"Gateway"}
    assert sorted(_service(endpoint) for endpoint in endpoints) == ["dynamodb", "s3"]


def _service(endpoint: Template) -> str:
    name = endpoint["ServiceName"]
    text = name if isinstance(name, str) else "".join(part for part in name["Fn::Join"][1] if isinstance(part, str))
    return text.rpartition(".")[2]


def test_a_stage_may_have_aws_inside_of_the_network(synthesise: Synthesise) -> None:
    templates = synthesise(TOPOLOGY, replace(DEV, has_interface_endpoints=True))

    endpoints = [one["Properties"] for one in templates.resources("AWS::EC2::VPCEndpoint")]
    interfaces = [one for one in endpoints if one["VpcEndpointType"] == "Interface"]
    assert {"sqs", "logs", "monitoring", "secretsmanager", "ecs"} <= {_service(endpoint) for endpoint in interfaces}
    assert all(endpoint["PrivateDnsEnabled"] for endpoint in interfaces)


def _doors(templates: Templates) -> set[tuple[str, str, int]]:
    """Who may come from where through which port, in every stack."""
    doors = set()
    for template in templates.all():
        for key, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::EC2::SecurityGroup":
                doors |= {(_name(key), rule["CidrIp"], rule["FromPort"]) for rule in properties.get("SecurityGroupIngress", [])}
            if resource["Type"] == "AWS::EC2::SecurityGroupIngress":
                doors.add((_name(properties["GroupId"]), _name(properties["SourceSecurityGroupId"]), properties["FromPort"]))
    return doors


def _name(reference: Template | str) -> str:
    for name in ("Front", "Tasks", "Door"):
        if name in str(reference):
            return name
    return str(reference)


def test_only_the_load_balancer_is_open_to_the_world(templates: Templates) -> None:
    assert _doors(templates) == {
        ("Front", ANYWHERE, 80),
        ("Tasks", "Front", port_of("WEB_BIND")),
        ("Door", "Tasks", port_of("DATABASE_PORT")),
    }


def test_with_a_certificate_the_world_may_ask_by_https(synthesise: Synthesise) -> None:
    templates = synthesise(
        TOPOLOGY, replace(DEV, certificate_arn="arn:aws:acm:eu-central-1:111111111111:certificate/0", domain="a.example")
    )

    assert {port for group, source, port in _doors(templates) if source == ANYWHERE} == {80, 443}


def test_the_load_balancer_reaches_nothing_but_the_web(templates: Templates) -> None:
    (front,) = (
        one["Properties"]
        for key, one in templates.network["Resources"].items()
        if key.startswith("Front") and one["Type"] == "AWS::EC2::SecurityGroup"
    )
    rules = [one["Properties"] for one in templates.resources("AWS::EC2::SecurityGroupEgress")]

    assert all(rule["CidrIp"] == "255.255.255.255/32" for rule in front.get("SecurityGroupEgress", []))
    assert [(_name(rule["GroupId"]), _name(rule["DestinationSecurityGroupId"]), rule["FromPort"]) for rule in rules] == [
        ("Front", "Tasks", port_of("WEB_BIND"))
    ]


def test_what_was_refused_is_written_down(templates: Templates) -> None:
    (log,) = templates.resources("AWS::EC2::FlowLog")

    assert log["Properties"]["TrafficType"] == "REJECT"
    assert log["Properties"]["ResourceType"] == "VPC"
