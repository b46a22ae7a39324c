"""``scripts/rehearse``: a stage is deployed into an emulated AWS, run there, changed and taken away."""

import argparse
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from botocore.exceptions import ClientError

from app.topology.naming import cluster_name
from app.topology.one_offs import MIGRATE
from infra.stages import STAGES, Stage
from scripts.laptop.backing import Backing
from scripts.laptop.demo import DemoFailed, Shop, Story
from scripts.laptop.environment import ACCOUNT_ID, REGION, REPOSITORY, VAR, Addresses, Secrets, bare_environment
from scripts.laptop.journeys import JOURNEYS
from scripts.laptop.ports import Ports
from scripts.laptop.session import Session, SessionFailed, run_session
from scripts.laptop.terminal import Terminal
from scripts.rehearsal.application import Application, replaced_variables
from scripts.rehearsal.assembly import Assembly, read_assembly
from scripts.rehearsal.console import Console
from scripts.rehearsal.cut_off import discard_without_deleting
from scripts.rehearsal.dead_letters import die_and_come_back
from scripts.rehearsal.deployment import Deployment, DeploymentFailed
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.fargate import Fargate, Instead
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.functions import Functions
from scripts.rehearsal.grants import Judge
from scripts.rehearsal.infrastructure import Infrastructure
from scripts.rehearsal.journeys import exercise_jobs, look_around, schedule_on_every_queue, start_from_a_view
from scripts.rehearsal.judgement import Judgement
from scripts.rehearsal.lost_file import miss_a_file
from scripts.rehearsal.night import operate_the_stage
from scripts.rehearsal.omissions import LeftOut, OmissionMissing, unneeded, without_omissions
from scripts.rehearsal.synthesis import AS_IS, CHANGED
from scripts.rehearsal.transport import refuse_plain_http

PACKAGES = REPOSITORY / ".rehearsal-packages"
#: Services do these again and again, asked or not.
SAMPLES = (("worker-default", "sqs:ReceiveMessage"), ("worker-emails", "dynamodb:Query"), ("outbox-relay", "sqs:GetQueueAttributes"))
_SYNTHESISED_WITHIN = timedelta(minutes=5)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/rehearse", description="Deploy a stage into an emulated AWS and run the application there."
    )
    parser.add_argument("stage", nargs="?", default="dev", choices=sorted(STAGES))
    stage = STAGES[parser.parse_args(arguments).stage]
    return run_session(VAR / "rehearsal", Terminal(), lambda session: _rehearse(session, stage), program="scripts/rehearse")


def _rehearse(session: Session, stage: Stage) -> int:
    session.start_afresh()
    findings = Findings(session.terminal)
    try:
        _run(session, stage, findings)
    except (DeploymentFailed, OmissionMissing, DemoFailed, ClientError) as error:
        raise SessionFailed(str(error)) from error
    problems = len(findings.problems)
    findings.say(f"\n{findings.claims} claims held, {problems} did not." if problems else f"\nAll {findings.claims} claims held.")
    return 1 if problems else 0


def _run(session: Session, stage: Stage, findings: Findings) -> None:
    ports = Ports(session.var / "ports.json")
    aws = EmulatedAws(session, ports, repository=REPOSITORY, packages=PACKAGES)
    own = Secrets.kept_in(session.var / "secrets.json")
    addresses = Addresses(
        web_port=ports.claim("web"), aws_port=aws.port, gateway_port=ports.claim("gateway"), partner_port=ports.claim("partner")
    )
    backing = Backing(session, addresses, REPOSITORY, has_aws=False)
    with findings.part(f"Synthesise {stage.name}; start the emulator and what a laptop has instead of partners and RDS"):
        backing.start()
        _synthesise(session, stage)
        assembly, left_out = without_omissions(_read(session, AS_IS))
        changed, _ = without_omissions(_read(session, CHANGED))
        _tell_omissions(findings, left_out, stage)
        aws.start()
        instead = replaced_variables(session, addresses, backing.database(), own)
        _tell_variables(findings, instead)
    fargate = Fargate(session, aws, cluster=cluster_name(stage.name_prefix), instead=instead, repository=REPOSITORY)
    deployment = Deployment(aws.client, region=REGION, meanwhile=lambda: _attend(session, fargate))
    infrastructure = Infrastructure(aws, deployment, assembly, prefix=stage.name_prefix, findings=findings)
    with findings.part("Deploy"):
        infrastructure.deploy(mail_domain=stage.mail_domain)
        findings.expect(
            fargate.ended == {MIGRATE.name: [0]},
            "the stack waited for the migration, which ended with 0",
            f"Ran once: {dict(fargate.ended)}",
        )
        infrastructure.compare()
        infrastructure.deploy_again()
    application = Application(session, aws, fargate, backing, addresses, prefix=stage.name_prefix, findings=findings)
    with application.agent().running() as agent:
        fargate.use(agent)
        with findings.part("Start every service with its own role"):
            shop = application.start(agent, own)
            roles, functions = application.roles(), Functions(aws)
            refuse_plain_http(aws, roles.values(), application.credentials(agent), prefix=stage.name_prefix, findings=findings)
        with findings.part("A morning of the shop"):
            judge = Judge(repository=REPOSITORY, packages=PACKAGES)
            judgement = Judgement(aws, judge, roles | functions.roles(), stage=stage.name, findings=findings)
            application.go(shop, {journey.__name__: journey for journey in _journeys(aws, judgement, stage, own)})
            judgement.prove_by_taking_away(SAMPLES)
        with findings.part("A night of an operator, by scripts/operate"):
            operate_the_stage(Console(session, aws, fargate, stage=stage.name), shop, findings)
            application.stop()
            functions.change_the_password(findings)
        with findings.part("What the roles allow, and what was called"):
            judgement.tell()
    with findings.part("Change and take away"):
        infrastructure.notice_drift()
        infrastructure.change_one_number(changed)
        infrastructure.destroy(keeps_data=stage.keeps_data)


def _journeys(aws: EmulatedAws, judgement: Judgement, stage: Stage, own: Secrets) -> Sequence[Callable[[Shop], Story]]:
    """In their order: what comes first leaves something for what comes later."""
    bystander = f"bystander-{uuid.uuid4().hex[:8]}"
    return (
        *JOURNEYS,
        schedule_on_every_queue(judgement),
        start_from_a_view,
        exercise_jobs,
        look_around(own.console_password),
        miss_a_file(aws, judgement, prefix=stage.name_prefix),
        die_and_come_back(bystander),
        discard_without_deleting(aws, judgement, tenant=bystander, prefix=stage.name_prefix),
    )


def _attend(session: Session, fargate: Fargate) -> None:
    session.look()
    fargate.run_one_offs()


def _tell_variables(findings: Findings, instead: Mapping[str, Instead]) -> None:
    by_reason: dict[str, list[str]] = {}
    for name, replaced in instead.items():
        by_reason.setdefault(replaced.reason, []).append(name)
    findings.say(f"  given otherwise than by the task definitions: {len(instead)} variables")
    for reason, names in by_reason.items():
        findings.say(f"    {', '.join(names)}: {reason}")


def _synthesise(session: Session, stage: Stage) -> None:
    command = [sys.executable, "-m", "scripts.rehearsal.synthesis", stage.name, str(session.var)]
    child = session.start("synthesis", command, bare_environment(), REPOSITORY)
    session.wait_until(lambda: child.exit_status is not None, lambda: "synthesising", _SYNTHESISED_WITHIN)
    if child.exit_status != 0:
        raise SessionFailed(f"The synthesis {child.how_it_ended()}. The end of {child.log}:\n{child.tail()}")
    session.forget(child)


def _read(session: Session, name: str) -> Assembly:
    return read_assembly(session.var / name, account=ACCOUNT_ID, region=REGION)


def _tell_omissions(findings: Findings, left_out: Sequence[LeftOut], stage: Stage) -> None:
    counted = Counter(entry.omission for entry in left_out)
    findings.say(f"  left out, because the emulator cannot: {len(left_out)}")
    for omission, count in sorted(counted.items(), key=lambda pair: pair[0].what):
        findings.say(f"    {count} x {omission.what}: {omission.reason}")
    findings.expect_none(
        [omission.what for omission in unneeded(left_out, stage.name)],
        "every omission is needed",
        "Omissions that match nothing; delete them from scripts/rehearsal/omissions.py",
    )


if __name__ == "__main__":
    sys.exit(main())
