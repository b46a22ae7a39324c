"""cfn-lint, which knows more of CloudFormation than the CDK's own validator: versions that AWS gives up, for one."""

import json

import pytest
from cfnlint.api import ManualArgs, lint

from infra.stages import STAGES
from tests.infra.templates import Template, Templates

#: The CDK writes down dependencies that a reference states already.
IGNORED = ("W3005",)
REGION = "eu-central-1"


def _problems(template: Template) -> list[str]:
    found = lint(json.dumps(template), config=ManualArgs(ignore_checks=list(IGNORED), regions=[REGION]))
    return [f"{one.rule.id} {one.message}" for one in found]


# Ten seconds each. Of the two, prod has more in it.
@pytest.mark.parametrize("stage", [stage if stage == "prod" else pytest.param(stage, marks=pytest.mark.long) for stage in STAGES])
def test_cfn_lint_finds_nothing(stage: str, request: pytest.FixtureRequest) -> None:
    templates: Templates = request.getfixturevalue(stage)

    assert {name: problems for name, template in templates.stacks.items() if (problems := _problems(template))} == {}


def test_it_would_find_a_version_that_is_given_up(dev: Templates) -> None:
    (cluster,) = dev.resources("AWS::RDS::DBCluster")

    outdated = json.loads(json.dumps(dev.database).replace(cluster["Properties"]["EngineVersion"], "16.6"))

    assert any("16.6" in problem for problem in _problems(outdated))


def test_what_is_ignored_is_there(dev: Templates) -> None:
    assert {one.rule.id for one in lint(json.dumps(dev.compute), config=ManualArgs(regions=[REGION]))} == set(IGNORED)


def test_no_template_is_larger_than_cloudformation_takes(prod: Templates) -> None:
    for name, template in prod.stacks.items():
        assert len(json.dumps(template)) < 1_000_000, name
        assert len(template["Resources"]) <= 500, name
