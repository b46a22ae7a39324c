"""The CDK app itself: what it imports, where its context comes from, and that synthesis is a gate."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
INFRA = REPOSITORY / "infra"
SOURCES = sorted(INFRA.rglob("*.py"))
NAMES = [str(path.relative_to(REPOSITORY)) for path in SOURCES]


def test_importing_the_app_synthesises_nothing_and_loads_nothing_of_the_run_time(node: str, tmp_path: Path) -> None:
    outdir = tmp_path / "cdk.out"
    program = "import infra.app, sys; print(*sorted({name.split('.')[0] for name in sys.modules} & {'django', 'celery', 'kombu', 'boto3', 'botocore'}))"

    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "CDK_OUTDIR": str(outdir)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == ""
    assert not outdir.exists()


def _imported(tree: ast.AST) -> set[str]:
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return modules | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_of_ours_infra_imports_the_topology_only(path: Path) -> None:
    ours = {module for module in _imported(ast.parse(path.read_text())) if module.split(".")[0] == "app"}

    assert all(module == "app.topology" or module.startswith("app.topology.") for module in ours)


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parent.name in ("constructs", "stacks")], ids=lambda path: path.stem)
def test_constructs_and_stacks_invent_no_number(path: Path) -> None:
    tree = ast.parse(path.read_text())
    # A place in a sequence and a comparison with nothing are no quantities.
    places = {id(one.slice) for one in ast.walk(tree) if isinstance(one, ast.Subscript)}
    places |= {id(bound) for one in ast.walk(tree) if isinstance(one, ast.Slice) for bound in (one.lower, one.upper)}
    places |= {id(zero) for one in ast.walk(tree) if isinstance(one, ast.Compare) for zero in one.comparators}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in places]

    numbers = {(node.lineno, node.value) for node in constants if isinstance(node.value, int | float) and not isinstance(node.value, bool)}

    assert numbers == set()


def test_without_the_cdk_s_command_line_cdk_json_s_context_still_counts(node: str) -> None:
    from infra.app import new_app

    app = new_app()

    assert app.node.try_get_context("@aws-cdk/core:defaultCrossStackReferences") == "strong"
    assert app.node.try_get_context("@aws-cdk/core:validateAgainstDefaultRules") is True


def test_a_property_that_aws_would_refuse_fails_the_synthesis(node: str, tmp_path: Path) -> None:
    from aws_cdk import Stack
    from aws_cdk import aws_sqs as sqs

    from infra.app import new_app

    app = new_app(tmp_path)
    sqs.CfnQueue(Stack(app, "wrong"), "Queue", visibility_timeout=43_201)

    with pytest.raises(Exception, match="VisibilityTimeout"):
        app.synth()


def test_no_stack_looks_anything_up_or_is_bound_to_an_account(node: str, tmp_path: Path) -> None:
    from app.topology import TOPOLOGY
    from infra.app import add_stacks, new_app
    from infra.stages import PROD

    app = new_app(tmp_path)
    add_stacks(app, topology=TOPOLOGY, stage=PROD)
    app.synth()

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    stacks = [artifact for artifact in manifest["artifacts"].values() if artifact["type"] == "aws:cloudformation:stack"]
    assert "missing" not in manifest
    assert {stack["environment"] for stack in stacks} == {"aws://unknown-account/unknown-region"}
    assert all(stack["properties"]["terminationProtection"] for stack in stacks)
