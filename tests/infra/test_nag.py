"""AWS's security reviewers read both stages. Every finding has a reason, and every reason has a finding."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from app.topology import TOPOLOGY
from infra.acknowledgements import ACKNOWLEDGEMENTS, Acknowledgement
from infra.stages import DEV, STAGES, Stage


class Finding(NamedTuple):
    stage: Stage
    rule: str
    path: str

    def is_acknowledged_by(self, acknowledgement: Acknowledgement) -> bool:
        return acknowledgement.fits(self.rule, self.path, self.stage)


def _findings(stage: Stage, outdir: Path) -> set[Finding]:
    from aws_cdk import Validations
    from cdk_nag import AwsSolutionsChecks

    from infra.app import add_stacks, new_app

    app = new_app(outdir)
    add_stacks(app, topology=TOPOLOGY, stage=stage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(Exception, match="AwsSolutions"):
        app.synth()
    (report,) = json.loads((outdir / "validation-report.json").read_text())["pluginReports"]
    return {
        Finding(stage, violation["ruleName"], construct["constructPath"])
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    }


@pytest.fixture(scope="module")
def findings(node: str, tmp_path_factory: pytest.TempPathFactory) -> set[Finding]:
    return {finding for stage in STAGES.values() for finding in _findings(stage, tmp_path_factory.mktemp("nag"))}


def test_every_finding_has_a_reason(findings: set[Finding]) -> None:
    assert {found for found in findings if not any(found.is_acknowledged_by(one) for one in ACKNOWLEDGEMENTS)} == set()


def test_every_reason_has_a_finding(findings: set[Finding]) -> None:
    needed = {one for one in ACKNOWLEDGEMENTS for finding in findings if finding.is_acknowledged_by(one)}

    assert {*ACKNOWLEDGEMENTS} - needed == set()


def test_no_rule_failed_to_look(findings: set[Finding]) -> None:
    assert {finding.rule for finding in findings if "CdkNagValidationFailure" in finding.rule} == set()


def test_a_reason_is_for_what_it_names_and_nothing_more() -> None:
    objects = Acknowledgement(rule="R5", of=("Resource::{prefix}-files/*",), on="compute/*/Role", reason="…")
    path = f"{DEV.name_prefix}-compute/web/Role"

    assert objects.fits(f"R5[Resource::{DEV.name_prefix}-files/*]", path, DEV)
    assert not objects.fits("R5[Resource::*]", path, DEV)
    assert not objects.fits("R5", path, DEV)
    assert not objects.fits(f"R5[Resource::{DEV.name_prefix}-files/*]", f"{DEV.name_prefix}-state/web/Role", DEV)
