"""The parts of the rehearsal that need no emulator: what is left out of templates, and in which order stacks come."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from scripts.rehearsal.assembly import Assembly, Stack, read_assembly
from scripts.rehearsal.omissions import Omission, OmissionMissing, Reference, StandIn, unneeded, without_omissions


def assembly(resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> Assembly:
    return Assembly(stacks=(Stack(name="one", template={"Resources": resources, "Outputs": outputs or {}}, is_protected=False),), files=())


def resources_without(resources: dict[str, Any], *differences: Omission | Reference | StandIn) -> dict[str, Any]:
    stripped, _ = without_omissions(assembly(resources), differences)
    found: dict[str, Any] = stripped.stacks[0].template["Resources"]
    return found


# -- what is left out ----------------------------------------------------------------------------------------------
def test_a_type_goes_with_its_order_and_its_outputs() -> None:
    stripped, left_out = without_omissions(
        assembly(
            {"Nat": {"Type": "AWS::EC2::NatGateway"}, "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": ["Nat"]}},
            {"Address": {"Value": {"Fn::GetAtt": ["Nat", "Address"]}}, "Name": {"Value": {"Ref": "Queue"}}},
        ),
        [Omission(type="AWS::EC2::NatGateway", reason="unknown")],
    )

    assert stripped.stacks[0].template == {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"Name": {"Value": {"Ref": "Queue"}}},
    }
    assert [entry.resource for entry in left_out] == ["Nat"]


def test_what_stays_may_not_refer_to_what_goes() -> None:
    resources = {"Nat": {"Type": "AWS::EC2::NatGateway"}, "Route": {"Type": "AWS::EC2::Route", "Properties": {"To": {"Ref": "Nat"}}}}

    with pytest.raises(OmissionMissing, match=r"Route \(AWS::EC2::Route\) refers to Nat"):
        resources_without(resources, Omission(type="AWS::EC2::NatGateway", reason="unknown"))


def test_what_goes_may_leave_words_behind() -> None:
    resources = {
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": []}},
        "Board": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"Body": {"Fn::Join": ["", ["a", {"Fn::GetAtt": ["Alarm", "Arn"]}]]}},
        },
    }

    found = resources_without(resources, Omission(type="AWS::CloudWatch::Alarm", only_if="'Metrics':", leaves="gone", reason="unknown"))

    assert found == {"Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"Body": {"Fn::Join": ["", ["a", "gone"]]}}}}


def test_a_property_goes_from_every_entry_of_a_list() -> None:
    resources = {"Task": {"Type": "T", "Properties": {"Containers": [{"A": 1, "B": 2}, {"A": 3}]}}}

    found = resources_without(resources, Omission(type="T", path="Containers.*.A", reason="unknown"))

    assert found["Task"]["Properties"] == {"Containers": [{"B": 2}, {}]}


def test_a_stand_in_takes_the_place_of_an_attribute() -> None:
    resources = {"Db": {"Type": "T"}, "Task": {"Type": "U", "Properties": {"Secret": {"Fn::GetAtt": ["Db", "Secret.Arn"]}}}}

    found = resources_without(resources, StandIn(type="T", attribute="Secret.Arn", resource={"Type": "S"}, reason="unknown"))

    assert found["Task"]["Properties"] == {"Secret": {"Ref": "DbStandIn"}}
    assert found["DbStandIn"] == {"Type": "S"}


def test_a_reference_becomes_the_attribute_that_it_is_in_aws() -> None:
    resources = {"Secret": {"Type": "S"}, "Task": {"Type": "U", "Properties": {"From": [{"Ref": "Secret"}]}}}

    assert resources_without(resources, Reference(type="S", attribute="Id", reason="a name"))["Task"]["Properties"] == {
        "From": [{"Fn::GetAtt": ["Secret", "Id"]}]
    }


def test_an_omission_that_matches_nothing_is_reported() -> None:
    idle = Omission(type="AWS::EC2::EIP", reason="unknown")
    used = Omission(type="AWS::EC2::NatGateway", reason="unknown")
    of_another_stage = Omission(type="AWS::WAFv2::WebACL", stage="prod", reason="unknown")
    declared = [idle, used, of_another_stage]

    _, left_out = without_omissions(assembly({"Nat": {"Type": "AWS::EC2::NatGateway"}}), declared)

    assert unneeded(left_out, "dev", declared) == [idle]
    assert unneeded(left_out, "prod", declared) == [idle, of_another_stage]


# -- assemblies ----------------------------------------------------------------------------------------------------
def test_stacks_come_after_those_they_depend_on(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "handler.py").write_text("pass")
    stack = {"type": "aws:cloudformation:stack"}
    artifacts = {
        "second": {**stack, "dependencies": ["first"], "properties": {"templateFile": "t.json", "terminationProtection": True}},
        "first": {**stack, "properties": {"templateFile": "t.json", "stackName": "named"}},
        "first.assets": {"type": "cdk:asset-manifest", "properties": {"file": "assets.json"}},
    }
    destination = {"bucketName": "files-${AWS::AccountId}-${AWS::Region}", "objectKey": "code.zip"}
    files = {"files": {"x": {"source": {"path": "code", "packaging": "zip"}, "destinations": {"here": destination}}}}
    for name, content in (("manifest.json", {"artifacts": artifacts}), ("t.json", {"Resources": {}}), ("assets.json", files)):
        (tmp_path / name).write_text(json.dumps(content))

    found = read_assembly(tmp_path, account="123456789012", region="eu-central-1")

    assert [(stack.name, stack.is_protected) for stack in found.stacks] == [("named", False), ("second", True)]
    (file,) = found.files
    assert (file.bucket, file.key) == ("files-123456789012-eu-central-1", "code.zip")
    assert zipfile.ZipFile(BytesIO(file.content())).namelist() == ["handler.py"]
