"""PostgreSQL: encrypted, TLS only, a password that nobody knows, and in prod hard to lose."""

from dataclasses import replace

import pytest

from app.topology import TOPOLOGY
from app.topology.variables import default_of
from infra.stages import DEV, PROD, STAGES, Stage
from tests.infra.conftest import Synthesise
from tests.infra.templates import Template, Templates


@pytest.fixture(params=STAGES.values(), ids=lambda stage: stage.name)
def stage(request: pytest.FixtureRequest) -> Stage:
    chosen: Stage = request.param
    return chosen


@pytest.fixture
def templates(request: pytest.FixtureRequest, stage: Stage) -> Templates:
    chosen: Templates = request.getfixturevalue(stage.name)
    return chosen


def _cluster(templates: Templates) -> Template:
    (cluster,) = templates.resources("AWS::RDS::DBCluster")
    return cluster


def test_it_is_encrypted_and_takes_tls_only(templates: Templates) -> None:
    cluster = _cluster(templates)["Properties"]
    (parameters,) = templates.resources("AWS::RDS::DBClusterParameterGroup")

    assert cluster["StorageEncrypted"] is True
    assert parameters["Properties"]["Parameters"] == {"rds.force_ssl": "1"}
    assert cluster["DBClusterParameterGroupName"] == {"Ref": next(iter(_keys(templates, "AWS::RDS::DBClusterParameterGroup")))}


def _keys(templates: Templates, kind: str) -> list[str]:
    return [key for key, resource in templates.database["Resources"].items() if resource["Type"] == kind]


def test_rds_makes_the_password_and_changes_it(templates: Templates) -> None:
    cluster = _cluster(templates)["Properties"]

    assert cluster["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in cluster
    assert (cluster["MasterUsername"], cluster["DatabaseName"]) == (default_of("DATABASE_USER"), default_of("DATABASE_NAME"))


def test_services_start_anew_when_the_password_has_changed(templates: Templates) -> None:
    (rule,) = templates.resources("AWS::Events::Rule")
    pattern = rule["Properties"]["EventPattern"]
    (target,) = rule["Properties"]["Targets"]
    function = templates.compute["Resources"][target["Arn"]["Fn::GetAtt"][0]]["Properties"]
    started = function["Environment"]["Variables"]["SERVICES"]
    (allowed,) = (statement for _, statement in templates.statements("AWS::IAM::Policy") if statement.get("Sid") == "StartServicesAnew")

    assert pattern["detail"]["eventName"] == ["RotationSucceeded"]
    assert "MasterUserSecret" in str(pattern["detail"]["additionalEventData"]["SecretId"])
    assert {key for key in templates.compute["Resources"] if f"'{key}'" in str(started)} == {
        key for key, resource in templates.compute["Resources"].items() if resource["Type"] == "AWS::ECS::Service"
    }
    assert len(allowed["Resource"]) == len(TOPOLOGY.services)


def test_it_grows_as_the_stage_allows(templates: Templates, stage: Stage) -> None:
    scaling = _cluster(templates)["Properties"]["ServerlessV2ScalingConfiguration"]

    assert (scaling["MinCapacity"], scaling["MaxCapacity"]) == (stage.minimum_acu, stage.maximum_acu)


def test_it_stands_where_no_way_leads_out(templates: Templates) -> None:
    (subnets,) = templates.resources("AWS::RDS::DBSubnetGroup")

    assert all("isolated" in str(subnet) for subnet in subnets["Properties"]["SubnetIds"])
    assert not any(instance["Properties"].get("PubliclyAccessible") for instance in templates.resources("AWS::RDS::DBInstance"))


def test_backups_are_kept_for_as_long_as_the_stage_says(templates: Templates, stage: Stage) -> None:
    assert _cluster(templates)["Properties"]["BackupRetentionPeriod"] == stage.backup_retention.days


def test_prod_s_database_refuses_to_be_deleted_and_outlives_its_stack(dev: Templates, prod: Templates) -> None:
    assert _cluster(prod)["Properties"]["DeletionProtection"] is True
    assert (_cluster(prod)["DeletionPolicy"], _cluster(prod)["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert _cluster(dev)["Properties"]["DeletionProtection"] is False
    assert _cluster(dev)["DeletionPolicy"] == "Delete"


def test_prod_has_a_copy_that_takes_over_as_large_as_the_writer(dev: Templates, prod: Templates) -> None:
    tiers = sorted(instance["Properties"]["PromotionTier"] for instance in prod.resources("AWS::RDS::DBInstance"))

    assert len(dev.resources("AWS::RDS::DBInstance")) == 1 + DEV.database_readers
    assert tiers == [0, 1]
    assert len(tiers) == 1 + PROD.database_readers


def test_prod_s_snapshots_can_be_shared_because_the_key_is_ours(dev: Templates, prod: Templates) -> None:
    (key,) = prod.resources("AWS::KMS::Key")

    assert key["Properties"]["EnableKeyRotation"] is True
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert "Key" in str(_cluster(prod)["Properties"]["KmsKeyId"])
    assert "KmsKeyId" not in _cluster(dev)["Properties"]


def test_its_lines_have_a_group_before_it_writes(templates: Templates) -> None:
    (group,) = _keys(templates, "AWS::Logs::LogGroup")
    cluster = _cluster(templates)
    lines = templates.database["Resources"][group]["Properties"]["LogGroupName"]

    assert cluster["Properties"]["EnableCloudwatchLogsExports"] == ["postgresql"]
    assert lines == f"/aws/rds/cluster/{cluster['Properties']['DBClusterIdentifier']}/postgresql"
    assert group in cluster["DependsOn"]


def test_more_capacity_changes_one_number(dev: Templates, synthesise: Synthesise) -> None:
    changed = synthesise(TOPOLOGY, replace(DEV, maximum_acu=DEV.maximum_acu + 1))

    assert {name for name in dev.stacks if dev.stacks[name] != changed.stacks[name]} - {"observability"} == {"database"}
    assert _cluster(changed)["Properties"]["ServerlessV2ScalingConfiguration"]["MaxCapacity"] == DEV.maximum_acu + 1
