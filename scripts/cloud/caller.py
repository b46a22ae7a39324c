"""Who acts: AWS's own answer, not what the terminal says of itself."""

from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError, ClientError


class CallerUnknown(RuntimeError):
    """There are no credentials, no region, or AWS does not take them. The message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    account: str
    arn: str

    @property
    def name(self) -> str:
        """Without the account: ``user/ada``, ``assumed-role/Operators/ada@example.com``."""
        return self.arn.split(":", 5)[-1]


def read_caller(session: boto3.session.Session) -> Caller:
    """Whose credentials these are. Raises :class:`CallerUnknown`."""
    if not session.region_name:
        raise CallerUnknown("No region is chosen. Set AWS_DEFAULT_REGION, or one in your AWS profile.")
    try:
        answer = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise CallerUnknown(f"AWS does not know you: {error}. Log in, for example with: aws sso login") from error
    return Caller(account=answer["Account"], arn=answer["Arn"])
