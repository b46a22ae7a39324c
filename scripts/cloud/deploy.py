"""``scripts/deploy``: a stage goes to the cloud.

credentials ──▶ bootstrap, if it lacks ──▶ diff ──▶ asked ──▶ deploy, which waits for the migration ──▶ smoke test ──▶ addresses
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.stages import CONTEXT_KEYS, STAGES
from scripts.cloud.caller import CallerUnknown, read_caller
from scripts.cloud.cdk import Cdk, CdkMissing, words
from scripts.cloud.smoke import await_health

_REPOSITORY = Path(__file__).resolve().parents[2]
_BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"
_HEALTHY_WITHIN = timedelta(minutes=10)
_PAUSE = timedelta(seconds=5)
#: What people need of the outputs.
_ADDRESSES = ("PublicUrl", "Dashboard", "AlarmTopicArn")


class DeploymentRefused(RuntimeError):
    """It cannot begin, or did not end well. The message says what to do."""


def main(arguments: Sequence[str] | None = None, *, ask: Callable[[str], str] = input) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy", description="Deploy a stage with your AWS credentials, after showing what will change."
    )
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=f"a value of the stage: {', '.join(CONTEXT_KEYS)}"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask; for pipelines")
    parser.add_argument("--assembly", type=Path, help="deploy what was synthesised before, such as cdk.out of scripts/synth")
    options = parser.parse_args(arguments)
    try:
        context = _context(options.stage, options.settings)
        _deploy(context, Cdk(_REPOSITORY, context, app=options.assembly), ask=None if options.yes else ask)
    except (DeploymentRefused, CallerUnknown, CdkMissing, ClientError, BotoCoreError, ValueError) as error:
        print(f"scripts/deploy: {error}", file=sys.stderr)
        return 1
    return 0


def _context(stage: str, settings: Sequence[str]) -> dict[str, str]:
    context = words(settings)
    if unknown := set(context) - set(CONTEXT_KEYS):
        raise DeploymentRefused(f"--set: there is no {', '.join(sorted(unknown))}; the keys are {', '.join(CONTEXT_KEYS)}.")
    return {"stage": stage, **context}


def _deploy(context: dict[str, str], cdk: Cdk, *, ask: Callable[[str], str] | None) -> None:
    prefix = context.get("name_prefix", STAGES[context["stage"]].name_prefix)
    session = boto3.session.Session()
    account = _check_account(session)
    _check_docker()
    cdk.install()
    if not _is_bootstrapped(session):
        print(f"The account {account} has never seen the CDK in {session.region_name}: bootstrapping it.")
        _expect(cdk.run("bootstrap", f"aws://{account}/{session.region_name}"), "The bootstrap failed; its words are above.")
    _expect(cdk.run("diff", "--all"), "The templates cannot be compared; the CDK's words are above.")
    if ask is not None and ask(f"\nDeploy {prefix} to account {account} in {session.region_name}? [y/N] ").strip().lower() != "y":
        raise DeploymentRefused("Nothing was changed.")
    _expect(
        cdk.run("deploy", "--all", "--require-approval", "never"),
        "The deployment failed, and CloudFormation goes back to what was. docs/how-to/deploy.md says what to look at.",
    )
    _look(session, prefix)


def _look(session: boto3.session.Session, prefix: str) -> None:
    """Wait for the web service to answer, and print the addresses."""
    outputs = _outputs(session, prefix)
    url = next((value for name, value in outputs.items() if name.endswith("PublicUrl")), None)
    if url is None:
        raise DeploymentRefused(f"No stack of {prefix} has an output PublicUrl: {', '.join(outputs) or 'there is none at all'}.")
    if problems := await_health(url, within=_HEALTHY_WITHIN, pause=_PAUSE, tell=print):
        raise DeploymentRefused(
            f"It is deployed and does not answer as it should: {'; '.join(problems)}. The lines of the web service: /{prefix}/web in CloudWatch Logs."
        )
    print(f"\n{prefix} is deployed and healthy.")
    for name, value in outputs.items():
        if any(wanted in name for wanted in _ADDRESSES):
            print(f"  {name}: {value}")


def _check_account(session: boto3.session.Session) -> str:
    caller = read_caller(session)
    print(f"You are {caller.arn}.")
    return caller.account


def _check_docker() -> None:
    """The CDK builds the image."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        raise DeploymentRefused("The image is built by Docker, which is not here or does not run. Install or start it; see Dockerfile.")


def _is_bootstrapped(session: boto3.session.Session) -> bool:
    ssm = session.client("ssm")
    try:
        ssm.get_parameter(Name=_BOOTSTRAP_VERSION)
    except ssm.exceptions.ParameterNotFound:
        return False
    return True


def _outputs(session: boto3.session.Session, prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    pages: Any = session.client("cloudformation").get_paginator("describe_stacks").paginate()
    for page in pages:
        for stack in page["Stacks"]:
            if stack["StackName"].startswith(f"{prefix}-"):
                found |= {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    return found


def _expect(status: int, problem: str) -> None:
    if status != 0:
        raise DeploymentRefused(problem)


if __name__ == "__main__":
    sys.exit(main())
