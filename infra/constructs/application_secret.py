"""A secret that containers get as an environment variable."""

from aws_cdk import RemovalPolicy, SecretValue
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from app.topology import VariablePolicy
from app.topology.naming import secret_name
from app.topology.variables import GENERATED_CHARACTERS


class ApplicationSecret(Construct):
    """Random until somebody sets it: what it is for refuses it, and nothing else does.

    A change reaches containers when they start; docs/how-to/deploy.md says how. CloudFormation never sets it again.
    """

    def __init__(
        self, scope: Construct, *, policy: VariablePolicy, name_prefix: str, removal: RemovalPolicy, first_value: str | None = None
    ) -> None:
        super().__init__(scope, policy.name)
        self.secret = secretsmanager.Secret(
            self,
            "Secret",
            secret_name=secret_name(name_prefix, policy.name),
            description=policy.purpose,
            generate_secret_string=None
            if first_value
            else secretsmanager.SecretStringGenerator(password_length=GENERATED_CHARACTERS, exclude_punctuation=True),
            # Names a region and no secret; whoever sends by SMTP sets another.
            secret_string_value=SecretValue.unsafe_plain_text(first_value) if first_value else None,
            removal_policy=removal,
        )
