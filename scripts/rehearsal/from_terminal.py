"""``scripts/redrive`` as a person runs it, against the deployed resources: a job dies, and the script sends it back."""

import sys
import uuid
from datetime import timedelta

from infra.stages import Stage
from scripts.laptop.demo import Shop
from scripts.laptop.environment import REGION, REPOSITORY, bare_environment
from scripts.laptop.session import Session
from scripts.rehearsal.dead_letters import await_letters, discard, send_in_vain
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.fargate import Fargate
from scripts.rehearsal.findings import Findings

_WITHIN = timedelta(minutes=3)
_QUEUE = "emails"


def redrive_from_a_terminal(session: Session, aws: EmulatedAws, fargate: Fargate, shop: Shop, stage: Stage, findings: Findings) -> None:
    """The script's own process, the task that it asks ECS for, and what became of the letter."""
    tenant, other = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("terminal", "bystander"))
    for each in (other, tenant):
        send_in_vain(shop, each, [_QUEUE], sizes=[1])
        await_letters(shop, tenant=each, wanted=1, redrives=0)
    command = [sys.executable, "-m", "scripts.cloud.redrive", stage.name, _QUEUE, "--tenant", tenant]
    environment = bare_environment() | aws.account_variables() | {"AWS_ENDPOINT_URL": aws.address, "AWS_DEFAULT_REGION": REGION}
    child = session.start("redrive", command, environment, REPOSITORY)

    def has_ended() -> bool:
        fargate.run_one_offs()
        return child.exit_status is not None

    session.wait_until(has_ended, lambda: "scripts/redrive", _WITHIN)
    is_well = child.exit_status == 0 and bool(await_letters(shop, tenant=tenant, wanted=1, redrives=1))
    is_well = is_well and bool(await_letters(shop, tenant=other, wanted=1, redrives=0))
    for each in (tenant, other):
        discard(shop, each)
    findings.expect(
        is_well,
        "scripts/redrive asked ECS for a task, which sent one letter back, and not the one beside it",
        f"scripts/redrive {child.how_it_ended()}: {child.tail()}",
    )
