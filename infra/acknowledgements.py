"""What AWS's security reviewers (cdk-nag) say of the stacks and we do not follow, each with its reason.

One that fits nothing any more fails the tests, and so does a finding that none fits: tests/infra/test_nag.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from infra.stages import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledgement:
    rule: str
    on: str
    """Pattern of paths of constructs, as they follow the stage's prefix: ``state/*/Table/Resource``."""
    of: tuple[str, ...] = ()
    """Exactly what the rule names in brackets, such as a wildcard; ``{prefix}`` is the stage's. Empty for rules that name nothing."""
    reason: str

    def fits(self, finding: str, path: str, stage: Stage) -> bool:
        """``finding`` as cdk-nag writes it: ``AwsSolutions-IAM5[Resource::*]``."""
        rule, _, named = finding.partition("[")
        wanted = {one.replace("{prefix}", stage.name_prefix) for one in self.of} or {""}
        return rule == self.rule and named.removesuffix("]") in wanted and fnmatchcase(path.removeprefix(f"{stage.name_prefix}-"), self.on)


def _all() -> Iterator[Acknowledgement]:
    yield from _STAGES
    yield from _DATA
    yield from _ENTRANCE
    yield from _TASKS
    yield from _FRAMEWORK


_STAGES = (
    Acknowledgement(
        rule="AwsSolutions-DDB3",
        on="state/*/Table/Resource",
        reason="Dev only: what it holds may be lost. Prod has point-in-time recovery.",
    ),
    Acknowledgement(
        rule="AwsSolutions-RDS10",
        on="database/Database/Resource",
        reason="Dev only: it is made to be deleted. Prod's database refuses to be.",
    ),
    Acknowledgement(
        rule="AwsSolutions-IAM5",
        of=("Resource::*",),
        on="compute/*/Task/Task/Role/DefaultPolicy/Resource",
        reason="Reading and writing metrics, which AWS limits by namespace or not at all; and in dev the channels of a shell (ssmmessages), "
        "for which AWS defines no resource. test_templates.py lists the actions.",
    ),
)

_DATA = (
    Acknowledgement(
        rule="AwsSolutions-S1",
        on="state/*/Bucket/Resource",
        reason="Nobody but our roles reads the buckets, and each reading has its line in the service's log. Who wants proof against the "
        "services themselves turns on CloudTrail's data events for the account.",
    ),
    Acknowledgement(
        rule="AwsSolutions-RDS6",
        on="database/Database/Resource",
        reason="Tokens of IAM are good for 15 minutes and would be made anew for each connection. RDS changes the password every week instead, "
        "and nobody knows it.",
    ),
    Acknowledgement(
        rule="AwsSolutions-SMG4",
        on="secrets/*/Secret/Resource",
        reason="AWS cannot change keys of partners, and a new signing key ends everybody's session: people change them, by docs/how-to/deploy.md.",
    ),
)

_ENTRANCE = (
    Acknowledgement(rule="AwsSolutions-EC23", on="network/Front/Resource", reason="The load balancer is there to be reached by everybody."),
    Acknowledgement(
        rule="AwsSolutions-ELB2",
        on="compute/Front/LoadBalancer/Resource",
        reason="The web service writes one line a request, with more in it. What never reaches it is counted by the load balancer's metrics.",
    ),
)

_TASKS = (
    Acknowledgement(
        rule="AwsSolutions-ECS2",
        on="compute/*/Task/Definition/Resource",
        reason="Names and addresses stand in the clear, as in the rest of the template. Secrets come from Secrets Manager; infra/environment.py "
        "refuses a secret that does not.",
    ),
    Acknowledgement(
        rule="AwsSolutions-IAM5",
        of=("Resource::*",),
        on="compute/*/Task/Definition/ExecutionRole/DefaultPolicy/Resource",
        reason="A token for the registry, which is for the account: AWS defines no resource for it.",
    ),
    Acknowledgement(
        rule="AwsSolutions-IAM5",
        of=(
            "Resource::arn:<AWS::Partition>:s3:::{prefix}-artifacts/claim-checks/*",
            "Resource::arn:<AWS::Partition>:s3:::{prefix}-artifacts/results/*",
            "Resource::arn:<AWS::Partition>:s3:::{prefix}-files/*",
        ),
        on="compute/*/Task/Task/Role/DefaultPolicy/Resource",
        reason="Objects have keys that are made at run time. Their folder or bucket is named.",
    ),
    Acknowledgement(
        rule="AwsSolutions-IAM5",
        of=("Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/{prefix}/*",),
        on="compute/worker-*/Task/Task/Role/DefaultPolicy/Resource",
        reason="A task protects itself from scale-in, and its id is made when it starts. It could protect others of this cluster, no more.",
    ),
)

_FRAMEWORK = (
    Acknowledgement(
        rule="AwsSolutions-IAM5",
        of=(
            "Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task-definition/{prefix}-migrate:*",
            "Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/<ClusterEB0386A7>/*",
        ),
        on="compute/migrate/*/Role/DefaultPolicy/Resource",
        reason="Any revision of the migration's task definition and any task of this cluster: both are numbered by ECS when they are made.",
    ),
    Acknowledgement(
        rule="AwsSolutions-IAM5",
        of=(
            "Resource::<migrateStartFunction0C74B133.Arn>:*",
            "Resource::<migrateIsOverFunction8072107F.Arn>:*",
            "Resource::<migrateProviderframeworkisComplete4576B8B2.Arn>:*",
            "Resource::<migrateProviderframeworkonTimeout866C91EA.Arn>:*",
        ),
        on="compute/migrate/Provider/*",
        reason="The CDK's framework for custom resources calls any version of the functions that it is made of.",
    ),
    Acknowledgement(
        rule="AwsSolutions-IAM4",
        of=("Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",),
        on="compute/migrate/Provider/framework-*/ServiceRole/Resource",
        reason="The framework's functions write their lines by AWS's own policy, which allows no more.",
    ),
    Acknowledgement(
        rule="AwsSolutions-SF1",
        on="compute/migrate/Provider/waiter-state-machine/Resource",
        reason="It waits and asks; what it asks writes lines of its own.",
    ),
    Acknowledgement(
        rule="AwsSolutions-SF2",
        on="compute/migrate/Provider/waiter-state-machine/Resource",
        reason="It runs at deployments only; a trace tells nothing.",
    ),
)

ACKNOWLEDGEMENTS = tuple(_all())
