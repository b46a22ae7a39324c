"""What is asked of the stacks themselves: that they complete, are what the topology says, and change by what changed and nothing else."""

from app.engine.aws.provision import provision
from app.topology import TOPOLOGY
from app.topology.naming import queue_name
from scripts.laptop.environment import REGION
from scripts.rehearsal.assembly import Assembly
from scripts.rehearsal.deployment import Deployment, DeploymentFailed, deploy_all
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.synthesis import CHANGED_QUEUE, CHANGED_VISIBILITY
from scripts.rehearsal.truth import contents, disagreements, physical_names

_PROVISIONED = "provisioned"
_BY_HAND = "77"


class Infrastructure:
    """The stacks of one stage in the emulated AWS."""

    def __init__(self, aws: EmulatedAws, deployment: Deployment, assembly: Assembly, *, prefix: str, findings: Findings) -> None:
        self._aws = aws
        self._deployment = deployment
        self._assembly = assembly
        self._prefix = prefix
        self._findings = findings

    def deploy(self, *, mail_domain: str) -> None:
        """Raises :class:`DeploymentFailed`: there is nothing to rehearse on."""
        self._deployment.bootstrap(self._assembly.files)
        # In AWS by records of the domain, which are its owner's business.
        self._aws.client("ses").verify_domain_identity(Domain=mail_domain)
        changes = deploy_all(self._deployment, self._assembly)
        by_stack = {stack.name: sum(change.stack == stack.name for change in changes) for stack in self._assembly.stacks}
        told = ", ".join(f"{name} ({count})" for name, count in by_stack.items())
        self._findings.expect(True, f"{len(by_stack)} stacks are CREATE_COMPLETE, {len(changes)} resources: {told}", "")

    def compare(self) -> None:
        """Template, provisioner and topology say the same of queues, tables and buckets."""
        provision(TOPOLOGY, name_prefix=_PROVISIONED, region=REGION, endpoint_url=self._aws.address)
        deployed, provisioned = contents(self._aws.client, self._prefix), contents(self._aws.client, _PROVISIONED)
        self._findings.expect_none(
            disagreements(deployed, provisioned, TOPOLOGY),
            f"{len(deployed.queues)} queues, {len(deployed.tables)} tables, {len(deployed.buckets)} buckets: "
            "template, provisioner and topology agree",
            "Template, provisioner and topology do not agree",
        )

    def deploy_again(self) -> None:
        changes = deploy_all(self._deployment, self._assembly)
        self._findings.expect_none(
            [f"{change.stack}: {change.action} {change.resource}" for change in changes],
            "deployed again: nothing changes",
            "The second deployment of the same templates changed something",
        )

    def notice_drift(self) -> None:
        sqs = self._aws.client("sqs")
        url = sqs.get_queue_url(QueueName=queue_name(self._prefix, CHANGED_QUEUE.name))["QueueUrl"]
        template = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]["VisibilityTimeout"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": _BY_HAND})
        found = [entry for stack in self._assembly.stacks for entries in self._deployment.drift(stack.name).values() for entry in entries]
        self._findings.expect(
            found == [("/VisibilityTimeout", template, _BY_HAND)],
            f"drift: {CHANGED_QUEUE.name} was changed by hand from {template} to {_BY_HAND} seconds, and nothing else is reported",
            f"Drift must be the visibility timeout of {CHANGED_QUEUE.name}, {template} to {_BY_HAND}; it is {found}",
        )
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": template})

    def change_one_number(self, changed: Assembly) -> None:
        """The topology with another visibility timeout of one queue: its queue changes, and no other resource."""
        changes = [change for change in deploy_all(self._deployment, changed) if change.is_certain]
        sqs = self._aws.client("sqs")
        url = sqs.get_queue_url(QueueName=queue_name(self._prefix, CHANGED_QUEUE.name))["QueueUrl"]
        now = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]["VisibilityTimeout"]
        wanted = str(int(CHANGED_VISIBILITY.total_seconds()))
        told = [f"{change.stack}: {change.action} {change.resource}: {', '.join(change.properties)}" for change in changes]
        is_right = len(changes) == 1 and changes[0].action == "Modify" and changes[0].properties == ("VisibilityTimeout",) and now == wanted
        self._findings.expect(
            is_right,
            f"one number changed in the topology: {told[0] if told else ''}, now {now} seconds",
            f"A change of {CHANGED_QUEUE.name}'s visibility timeout to {wanted} must change that and nothing else; it is {now}, changed: {told}",
        )

    def destroy(self, *, keeps_data: bool) -> None:
        """The opposite order. What a stage keeps stays, and everything else is gone."""
        if keeps_data:
            self._expect_protection()
        for stack in reversed(self._assembly.stacks):
            if stack.is_protected:
                self._deployment.unprotect(stack.name)
        for policy in TOPOLOGY.buckets:
            if not keeps_data:
                self._deployment.empty_bucket(f"{self._prefix}-{policy.name}")
        for stack in reversed(self._assembly.stacks):
            self._deployment.destroy(stack.name)
        left = [name for name in physical_names(TOPOLOGY, self._prefix) if self._exists(name)]
        if keeps_data:
            missing = sorted(set(physical_names(TOPOLOGY, self._prefix)) - set(left))
            self._findings.expect_none(missing, f"destroyed: {len(left)} queues, tables and buckets were kept", "Data went with its stack")
        else:
            self._findings.expect_none(left, "destroyed: no queue, table or bucket is left", "Something outlived its stack")

    def _expect_protection(self) -> None:
        yielding = []
        for stack in self._assembly.stacks:
            if stack.is_protected:
                try:
                    self._deployment.destroy(stack.name)
                except DeploymentFailed:
                    continue
                yielding.append(stack.name)
        self._findings.expect_none(yielding, "protected stacks refuse to be deleted", "Stacks that should be protected were deleted")

    def _queue_urls(self) -> dict[str, str]:
        urls = self._aws.client("sqs").list_queues(QueueNamePrefix=f"{self._prefix}-").get("QueueUrls", [])
        return {url.rpartition("/")[2]: url for url in urls}

    def _exists(self, name: str) -> bool:
        there = {
            *self._queue_urls(),
            *self._aws.client("dynamodb").list_tables()["TableNames"],
            *(bucket["Name"] for bucket in self._aws.client("s3").list_buckets()["Buckets"]),
        }
        return name in there
