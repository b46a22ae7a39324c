"""The stages: the same stacks with other values. Chosen by the context key ``stage``.

Imports no CDK: whoever wants to know what a stage is need not start Node.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.topology.naming import check_prefix

#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_LOGS_ARE_KEPT_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
#: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
_LARGEST_ACU = 256
_LONGEST_BACKUP = timedelta(days=35)


class StageUnknown(ValueError):
    """The context names a stage that does not stand in :data:`STAGES`."""


class StageImpossible(ValueError):
    """A stage has values that AWS would refuse, or that do not fit together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One deployment. Two stages may share an account: every physical name begins with the prefix."""

    name: str
    name_prefix: str
    keeps_data: bool
    """Queues, tables, buckets and the database survive their stack, and tables, database and stacks refuse to be deleted."""
    has_point_in_time_recovery: bool
    """Tables can be restored to any second of the last 35 days. Paid per GB."""
    availability_zones: int
    nat_gateways: int
    """The way out, to AWS and to partners, $33 a month each. One is a single point of failure for what leaves, not for jobs at rest."""
    has_interface_endpoints: bool
    """AWS's APIs inside the network, for those who allow no other way out; dearer than the NAT below about 1.2 TB a month."""
    minimum_acu: float
    """Aurora's capacity without work, of 2 GiB each. 0: it sleeps once nothing is connected, as beat and the relay always are."""
    maximum_acu: float
    database_readers: int
    """Copies that take over within a minute if the writer dies. 0: a new writer is started, which takes some ten."""
    backup_retention: timedelta
    has_own_key: bool
    """The database's storage is encrypted with a key of ours: its snapshots can be shared with another account. $1 a month."""
    web_copies: int
    log_retention: timedelta
    has_exec: bool
    """People with the right to may open a shell in a running container."""
    has_enhanced_insights: bool
    """ECS tells CloudWatch about each task and container, not only about services."""
    has_firewall: bool
    """AWS WAF in front of the load balancer."""
    requests_per_address: int = 2000
    """In five minutes, before the firewall turns an address away."""
    monthly_budget_usd: int
    """What it may cost before somebody is told."""
    certificate_arn: str | None = None
    """Of ACM, in the deployment's region, for ``domain``. Without one the load balancer speaks plain HTTP."""
    domain: str | None = None
    """What people type. Its DNS record is yours to make."""
    email_from: str = "no-reply@example.com"
    """Sender of mail; SES must have verified its domain."""
    release: str | None = None
    """Name of the running code, such as a commit. Without one it is the image's digest."""
    alarm_email: str | None = None
    """Gets every alarm, once its owner has confirmed the subscription."""

    def __post_init__(self) -> None:
        check_prefix(self.name_prefix)
        if self.log_retention % timedelta(days=1) or self.log_retention.days not in _LOGS_ARE_KEPT_DAYS:
            raise self._refused(
                "log_retention", f"CloudWatch knows {', '.join(map(str, _LOGS_ARE_KEPT_DAYS))} days, got {self.log_retention}"
            )
        if self.availability_zones < 2:  # noqa: PLR2004 — Aurora's and the load balancer's own
            raise self._refused("availability_zones", f"Aurora and the load balancer want 2 or more, got {self.availability_zones}")
        if not 1 <= self.nat_gateways <= self.availability_zones:
            raise self._refused("nat_gateways", f"expected 1 to {self.availability_zones}, one in a zone at most, got {self.nat_gateways}")
        if not 0 <= self.minimum_acu <= self.maximum_acu <= _LARGEST_ACU or self.maximum_acu < 1 or (self.minimum_acu * 2) % 1:
            raise self._refused(
                "minimum_acu",
                f"expected half steps of 0 to maximum_acu, which is 1 to {_LARGEST_ACU}; got {self.minimum_acu} to {self.maximum_acu}",
            )
        if not timedelta(days=1) <= self.backup_retention <= _LONGEST_BACKUP:
            raise self._refused("backup_retention", f"Aurora keeps 1 to 35 days, got {self.backup_retention}")
        if self.web_copies < 1:
            raise self._refused("web_copies", f"expected 1 or more, got {self.web_copies}")
        if self.certificate_arn and not self.domain:
            raise self._refused("certificate_arn", "a certificate is for a name: pass the context key 'domain', too")
        if "@" not in self.email_from:
            raise self._refused("email_from", f"expected an address such as shop@example.com, got {self.email_from!r}")

    def _refused(self, field: str, problem: str) -> StageImpossible:
        return StageImpossible(f"Stage {self.name!r}: {field}: {problem}")

    @property
    def is_https(self) -> bool:
        return self.certificate_arn is not None

    @property
    def mail_domain(self) -> str:
        return self.email_from.rpartition("@")[2]


DEV = Stage(
    name="dev",
    name_prefix="millrace-dev",
    keeps_data=False,
    has_point_in_time_recovery=False,
    availability_zones=2,
    nat_gateways=1,
    has_interface_endpoints=False,
    minimum_acu=0,
    maximum_acu=2,
    database_readers=0,
    backup_retention=timedelta(days=1),
    has_own_key=False,
    web_copies=1,
    log_retention=timedelta(days=7),
    has_exec=True,
    has_enhanced_insights=False,
    has_firewall=False,
    monthly_budget_usd=400,
)
PROD = Stage(
    name="prod",
    name_prefix="millrace-prod",
    keeps_data=True,
    has_point_in_time_recovery=True,
    availability_zones=3,
    nat_gateways=2,
    has_interface_endpoints=False,
    minimum_acu=0.5,
    maximum_acu=8,
    database_readers=1,
    backup_retention=timedelta(days=14),
    has_own_key=True,
    web_copies=2,
    log_retention=timedelta(days=30),
    has_exec=False,
    has_enhanced_insights=True,
    has_firewall=True,
    monthly_budget_usd=600,
)

STAGES = {stage.name: stage for stage in (DEV, PROD)}
#: What else the context may say. Values are texts.
CONTEXT_KEYS = ("name_prefix", "alarm_email", "certificate_arn", "domain", "email_from", "release")


def chosen_stage(context: Callable[[str], Any]) -> Stage:
    """The stage that the context asks for by ``stage`` (dev if absent), with what it says otherwise by the ``CONTEXT_KEYS``.

    Bucket names are shared by the whole world, so a real deployment sets ``name_prefix``.
    """
    name = context("stage") or DEV.name
    if name not in STAGES:
        raise StageUnknown(f"context key 'stage': expected {' or '.join(STAGES)}, got {name!r}. Pass it as: cdk synth --context stage=prod")
    return replace(STAGES[name], **{key: value for key in CONTEXT_KEYS if (value := context(key))})
