"""The only reader of the environment. Every problem is reported at once, as *expected … got …*."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.engine.outbound.errors import CallRefused
from app.engine.outbound.target import read_target
from app.topology import TOPOLOGY
from app.topology.naming import check_prefix

SETTINGS_MODULE = "app.config.settings"
#: What Django's own deployment check asks for.
SHORTEST_SECRET_KEY = 50
_POLICIES = {variable.name: variable for variable in TOPOLOGY.variables}


class EnvironmentInvalid(SystemExit):
    """The environment lacks variables or holds impossible values. Ends the process with the whole list on stderr."""


def _declared(name: str) -> Any:
    """A field whose default and purpose stand in the topology. Without a default the variable is required."""
    policy = _POLICIES[name]
    if policy.default is None:
        return Field(alias=name, description=policy.purpose)
    return Field(alias=name, description=policy.purpose, default=policy.default, validate_default=True)


def _matching(pattern: str, meaning: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"expected {meaning}")
        return value

    return AfterValidator(check)


def _check_url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if not _has_host(value, schemes):
            raise ValueError(f"expected a URL beginning with {' or '.join(f'{scheme}://' for scheme in schemes)} and a host")
        return value.rstrip("/")

    return AfterValidator(check)


def _has_host(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its words repeat the URL, which may be a secret
        return False


def _check_secret_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_SECRET_KEY:
        raise ValueError(f"expected {SHORTEST_SECRET_KEY} random characters or more")
    return value


def _check_email_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not _has_host(url, ("smtp", "ses")) and not re.fullmatch(r"file:///[^/].*", url):
        raise ValueError("expected smtp://user:password@host:587?tls=true, ses://region or file:///directory")
    return value


def _check_origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.password or parts.path or parts.query or parts.fragment or ":" in (parts.hostname or ""):
        raise ValueError("expected scheme, host name and port only, such as https://shop.example.com")
    return value


def _check_addresses(value: str) -> str:
    for address in _listed(value):
        try:
            is_plain = read_target(f"http://{address}").authority == address
        except CallRefused:
            is_plain = False
        if not is_plain:
            raise ValueError("expected host:port,host:port in lower case, such as 127.0.0.1:8099, IPv6 in brackets")
    return value


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


HttpAddress = Annotated[str, _check_url("http", "https")]
OptionalHttpAddress = Annotated[HttpAddress | None, BeforeValidator(lambda value: value or None)]
Positive = Annotated[int, Field(ge=1)]
RateLimit = Annotated[str, _matching(r"|\d+/[smh]", "a number per s, m or h, such as 100/m, or nothing")]


class Environment(BaseSettings):
    """What this deployment was told. Frozen; secrets do not show in its repr."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=True)

    name_prefix: Annotated[str, AfterValidator(check_prefix)] = _declared("NAME_PREFIX")
    service: str = _declared("SERVICE")
    release: Annotated[str, _matching(r"[\w.+:@/-]{1,200}", "1 to 200 letters, digits and any of . + : @ / -")] = _declared("RELEASE")
    secret_key: Annotated[SecretStr, AfterValidator(_check_secret_key)] = _declared("SECRET_KEY")
    database_host: Annotated[str, Field(min_length=1)] = _declared("DATABASE_HOST")
    database_port: Annotated[int, Field(ge=1, le=65535)] = _declared("DATABASE_PORT")
    database_name: Annotated[str, Field(min_length=1)] = _declared("DATABASE_NAME")
    database_user: Annotated[str, Field(min_length=1)] = _declared("DATABASE_USER")
    database_password: SecretStr = _declared("DATABASE_PASSWORD")
    aws_region: Annotated[str, _matching(r"[a-z]{2}(-[a-z]+)+-\d", "a region such as eu-central-1")] = _declared("AWS_REGION")
    aws_account_id: Annotated[str, _matching(r"\d{12}", "12 digits")] = _declared("AWS_ACCOUNT_ID")
    aws_endpoint_url: OptionalHttpAddress = _declared("AWS_ENDPOINT_URL")
    public_url: Annotated[HttpAddress, AfterValidator(_check_origin)] = _declared("PUBLIC_URL")
    allowed_hosts: str = _declared("ALLOWED_HOSTS")
    web_bind: Annotated[str, _matching(r".+:\d{1,5}", "host:port")] = _declared("WEB_BIND")
    web_threads: Positive = _declared("WEB_THREADS")
    web_processes: Positive = _declared("WEB_PROCESSES")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _declared("LOG_LEVEL")
    pulse_directory: Path = _declared("PULSE_DIRECTORY")
    worker_prefetch_multiplier: Positive = _declared("WORKER_PREFETCH_MULTIPLIER")
    worker_max_tasks_per_child: Positive = _declared("WORKER_MAX_TASKS_PER_CHILD")
    worker_max_memory_per_child_mib: Annotated[int, Field(ge=64)] = _declared("WORKER_MAX_MEMORY_PER_CHILD_MIB")
    task_default_rate_limit: RateLimit = _declared("TASK_DEFAULT_RATE_LIMIT")
    images_rate_limit: RateLimit = _declared("IMAGES_RATE_LIMIT")
    result_ttl_hours: Positive = _declared("RESULT_TTL_HOURS")
    sqs_wait_time_seconds: Annotated[int, Field(ge=1, le=20)] = _declared("SQS_WAIT_TIME_SECONDS")
    sqs_longest_delay_seconds: Annotated[int, Field(ge=1, le=900)] = _declared("SQS_LONGEST_DELAY_SECONDS")
    protect_runs_after_seconds: Positive = _declared("PROTECT_RUNS_AFTER_SECONDS")
    ecs_agent_uri: OptionalHttpAddress = _declared("ECS_AGENT_URI")
    ecs_container_metadata_uri_v4: OptionalHttpAddress = _declared("ECS_CONTAINER_METADATA_URI_V4")
    email_url: Annotated[SecretStr, AfterValidator(_check_email_url)] = _declared("EMAIL_URL")
    email_from: Annotated[str, _matching(r".+@.+", "an address such as shop@example.com")] = _declared("EMAIL_FROM")
    outbound_allowed_addresses: Annotated[str, AfterValidator(_check_addresses)] = _declared("OUTBOUND_ALLOWED_ADDRESSES")
    stripe_api_key: Annotated[SecretStr, Field(min_length=1)] = _declared("STRIPE_API_KEY")
    stripe_api_base: HttpAddress = _declared("STRIPE_API_BASE")
    partner_api_key: Annotated[SecretStr, Field(min_length=1)] = _declared("PARTNER_API_KEY")
    partner_api_base: HttpAddress = _declared("PARTNER_API_BASE")

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def hosts(self) -> list[str]:
        """The names that the web service answers to."""
        return [urlsplit(self.public_url).hostname or "", *_listed(self.allowed_hosts)]

    @property
    def outbound_allowed(self) -> frozenset[str]:
        return frozenset(_listed(self.outbound_allowed_addresses))

    @property
    def result_ttl(self) -> timedelta:
        return timedelta(hours=self.result_ttl_hours)

    @property
    def sqs_wait_time(self) -> timedelta:
        return timedelta(seconds=self.sqs_wait_time_seconds)

    @property
    def longest_sqs_delay(self) -> timedelta:
        return timedelta(seconds=self.sqs_longest_delay_seconds)

    @property
    def protect_runs_after(self) -> timedelta:
        return timedelta(seconds=self.protect_runs_after_seconds)

    @property
    def email(self) -> dict[str, Any]:
        """Django's ``EMAIL_*`` settings, and anymail's for SES, whose credentials are those of the service's role."""
        parts: SplitResult = urlsplit(self.email_url.get_secret_value())
        if parts.scheme == "file":
            return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": unquote(parts.path)}
        if parts.scheme == "ses":
            client = {"region_name": parts.hostname, "config": {"connect_timeout": 3, "read_timeout": 10}}
            return {
                "EMAIL_BACKEND": "anymail.backends.amazon_ses.EmailBackend",
                "ANYMAIL": {
                    "AMAZON_SES_CLIENT_PARAMS": client | ({"endpoint_url": self.aws_endpoint_url} if self.aws_endpoint_url else {})
                },
            }
        return {
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": parts.port or 587,
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_TLS": parse_qs(parts.query).get("tls", ["true"])[0] == "true",
            "EMAIL_TIMEOUT": 10,
        }


_undeclared = set(_POLICIES) ^ {field.alias for field in Environment.model_fields.values()}
if _undeclared:
    raise RuntimeError(
        f"app/topology/variables.py and app/config/environment.py differ in {', '.join(sorted(filter(None, _undeclared)))}: "
        "declare each variable in the first and give it a type in the second"
    )


def read_environment() -> Environment:
    """Parse the process's environment. Raises :class:`EnvironmentInvalid` with every problem in one message."""
    try:
        return Environment()
    except ValidationError as error:
        problems = sorted(_explain(problem) for problem in error.errors())
        raise EnvironmentInvalid(
            "The environment is not complete (docs/reference/variables.md lists every variable):\n"
            + "\n".join(f"  {problem}" for problem in problems)
        ) from None


def _explain(problem: Any) -> str:
    name = str(problem["loc"][0])
    policy = _POLICIES[name]
    if problem["type"] == "missing":
        return f"{name}: expected a value, got nothing. {policy.purpose}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix(f"{name}: ")
    got = "a secret that is not shown" if policy.secret else repr(problem["input"])
    return f"{name}: {message}" if " got " in message else f"{name}: {message}, got {got}. {policy.purpose}"


def use_settings() -> None:
    """Point Django at our settings, unless the process was told otherwise."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS_MODULE)
