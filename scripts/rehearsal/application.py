"""The application on the deployed resources: every service with the role of its task, through the morning of the shop."""

from collections.abc import Callable, Mapping

from app.topology import TOPOLOGY
from app.topology.naming import cluster_name
from app.topology.one_offs import OPERATOR
from scripts.laptop.background import Background
from scripts.laptop.backing import Backing
from scripts.laptop.demo import DemoFailed, Shop, Story
from scripts.laptop.environment import ACCOUNT_ID, REGION, REPOSITORY, Addresses, Database, Secrets, application_environment
from scripts.laptop.schema import Schema
from scripts.laptop.services import Services
from scripts.laptop.session import Session
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.fargate import Container, Fargate, Instead
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.grants import Role, deployed_role
from scripts.rehearsal.roles import Agent

#: Of these the value of the laptop counts, and why.
_HERE = {
    **dict.fromkeys(
        ("DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD"), "an embedded PostgreSQL is the database"
    ),
    "AWS_ENDPOINT_URL": "the emulator is AWS",
    **dict.fromkeys(("PUBLIC_URL", "ALLOWED_HOSTS", "WEB_BIND"), "there is no load balancer"),
    **dict.fromkeys(("STRIPE_API_BASE", "STRIPE_API_KEY"), "the laptop's payment gateway, which takes test keys only"),
    **dict.fromkeys(("PARTNER_API_BASE", "PARTNER_API_KEY", "OUTBOUND_ALLOWED_ADDRESSES"), "the laptop's partner"),
    "PULSE_DIRECTORY": "there are no volumes",
    "SQS_WAIT_TIME_SECONDS": "stops are to be short",
    **dict.fromkeys(("TASK_DEFAULT_RATE_LIMIT", "IMAGES_RATE_LIMIT"), "a morning is to pass in a minute"),
}
#: Long enough for a run of the demo to be worth protecting.
_PROTECTED_AFTER = Instead(value="1", reason="the demo's runs are short")


def replaced_variables(session: Session, addresses: Addresses, database: Database, own: Secrets) -> dict[str, Instead]:
    """What the task definitions' environment is changed in."""
    values = application_environment(var=session.var, addresses=addresses, database=database, own=own)
    here = {name: Instead(value=values[name], reason=reason) for name, reason in _HERE.items()}
    return here | {
        "PROTECT_RUNS_AFTER_SECONDS": _PROTECTED_AFTER,
        "SQS_LONGEST_DELAY_SECONDS": Instead(value="1", reason="what is due in seconds is to wait in the database"),
        "WEB_PROCESSES": Instead(value="1", reason="one machine"),
        "DJANGO_SETTINGS_MODULE": Instead(value="scripts.rehearsal.settings", reason="adds jobs that do all that a job may do"),
    }


class Application:
    """Started once; ended with the session."""

    def __init__(
        self,
        session: Session,
        aws: EmulatedAws,
        fargate: Fargate,
        backing: Backing,
        addresses: Addresses,
        *,
        prefix: str,
        findings: Findings,
    ) -> None:
        self._session = session
        self._aws = aws
        self._fargate = fargate
        self._backing = backing
        self._addresses = addresses
        self._cluster = cluster_name(prefix)
        self._findings = findings
        self._containers: dict[str, Container] = {}
        self._operator: dict[str, Container] = {}
        self._services: Services | None = None

    def roles(self) -> dict[str, Role]:
        """Of each service's tasks, and of a person's commands, as IAM has them now."""
        iam = self._aws.client("iam")
        return {name: deployed_role(iam, _role_name(container)) for name, container in self._with_roles().items()}

    def credentials(self, agent: Agent) -> dict[str, dict[str, str]]:
        """Of each role, by its name, for a session of ours beside that of the service."""
        return {_role_name(container): agent.probe_credentials(name) for name, container in self._with_roles().items()}

    def _with_roles(self) -> dict[str, Container]:
        return self._containers | self._operator

    def agent(self) -> Agent:
        """Reads what is deployed."""
        self._containers = self._fargate.containers()
        self._operator = {OPERATOR.name: self._fargate.one_off(OPERATOR.name)}
        commands = {policy.name: policy.command for policy in TOPOLOGY.services}
        deployed = {name: container.command for name, container in self._containers.items()}
        self._findings.expect(
            deployed == commands,
            f"{len(deployed)} services are deployed, with the commands of the topology",
            f"The topology has the commands {commands}, deployed are {deployed}",
        )
        roles = {name: container.task_role for name, container in self._with_roles().items()}
        return Agent(self._aws, roles, cluster=self._cluster, region=REGION, account=ACCOUNT_ID)

    def start(self, agent: Agent, own: Secrets) -> Shop:
        """Every service, healthy; and the shop that they are. Raises :class:`SessionFailed`."""
        environments = {name: self._fargate.environment(container, agent) for name, container in self._containers.items()}
        self._backing.wait_until_provisioned()
        self._services = services = Services(
            self._session,
            TOPOLOGY.services,
            environment={"PULSE_DIRECTORY": environments["web"]["PULSE_DIRECTORY"]},
            of_service=environments,
            web=self._addresses.web,
            repository=REPOSITORY,
            is_patient=False,
        )
        services.start()
        # Before the services are there; later a person's commands run by scripts/operate.
        schema = Schema(self._session, cluster=self._backing.cluster, repository=REPOSITORY, environment=environments["web"])
        schema.begin_accounts(own)
        services.wait_until_healthy()
        self._findings.expect(True, f"{len(environments)} services are healthy, each with the credentials of its own role", "")
        return Shop(
            web=self._addresses.web,
            gateway=self._addresses.gateway,
            partner=self._addresses.partner,
            token=schema.token(),
            mail_directory=self._aws.mails,
            environment=environments["web"] | {"SERVICE": "shell"},
            repository=REPOSITORY,
        )

    def stop(self) -> None:
        """Every service, as ECS does it. Raises :class:`SessionFailed` if one does not end in its time."""
        if self._services is not None:
            self._services.stop()
            self._findings.expect(True, f"{len(self._containers)} services ended in their time", "")

    def go(self, shop: Shop, journeys: Mapping[str, Callable[[Shop], Story]]) -> None:
        """Each journey, and what came of it."""
        for name, journey in journeys.items():
            self._go_one(shop, name, journey)

    def _go_one(self, shop: Shop, name: str, journey: Callable[[Shop], Story]) -> None:
        under_way = Background(name, lambda: journey(shop))
        self._session.wait_until(lambda: under_way.is_done, lambda: shop.doing)
        try:
            story = under_way.result()
        except DemoFailed as failed:
            self._findings.expect(False, "", f"{name}: {failed}")
            return
        self._findings.expect_none(story.problems, f"{story.title}: {len(story.rows)} cases, {story.checked} checks", story.title)


def _role_name(container: Container) -> str:
    return container.task_role.rpartition("/")[2]
