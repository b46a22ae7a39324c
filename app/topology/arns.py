"""The ARN of what a grant names: the only place that knows how AWS writes them."""

from dataclasses import dataclass

from app.topology.grants import Grant, Kind, Resource
from app.topology.naming import bucket_name, cluster_name, dead_letter_queue_name, queue_name, service_name, table_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a deployment is. In a template these are CloudFormation's own references."""

    partition: str
    region: str
    account: str
    name_prefix: str
    mail_domain: str
    """Verified with SES; mail leaves in its name."""

    def arn(self, service: str, rest: str, *, is_global: bool = False) -> str:
        where = ":" if is_global else f"{self.region}:{self.account}"
        return f"arn:{self.partition}:{service}:{where}:{rest}"

    def arn_of(self, resource: Resource) -> str:
        """``*`` where AWS knows no resource: the account's metrics, which :func:`conditions_of` limits if it can be."""
        prefix, name, inside = self.name_prefix, resource.name, resource.inside
        arns: dict[Kind, str] = {
            Kind.QUEUE: self.arn("sqs", queue_name(prefix, name)),
            Kind.DEAD_LETTERS: self.arn("sqs", dead_letter_queue_name(prefix, name)),
            Kind.TABLE: self.arn("dynamodb", f"table/{table_name(prefix, name)}"),
            Kind.INDEX: self.arn("dynamodb", f"table/{table_name(prefix, name)}/index/{inside}"),
            Kind.BUCKET: self.arn("s3", bucket_name(prefix, name), is_global=True),
            Kind.OBJECTS: self.arn("s3", f"{bucket_name(prefix, name)}/{inside}*", is_global=True),
            Kind.TASKS: self.arn("ecs", f"task/{cluster_name(prefix)}/*"),
            Kind.SERVICE: self.arn("ecs", f"service/{cluster_name(prefix)}/{service_name(prefix, name)}"),
            Kind.MAIL: self.arn("ses", f"identity/{self.mail_domain}"),
        }
        return arns.get(resource.kind, "*")


def conditions_of(grant: Grant) -> dict[str, dict[str, str]]:
    """CloudWatch knows no resource for what is written to it, but a condition on the namespace."""
    namespaces = {resource.name for resource in grant.on if resource.kind is Kind.METRICS}
    return {"StringEquals": {"cloudwatch:namespace": namespaces.pop()}} if namespaces else {}
