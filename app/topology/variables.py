"""Every environment variable that the application reads. ``app/config/environment.py`` gives them types."""

from app.topology.policies import VariablePolicy

#: Of a secret that nobody has to know, and of one that nobody has set yet.
GENERATED_CHARACTERS = 64

VARIABLES = (
    VariablePolicy(name="NAME_PREFIX", purpose="Begins the name of every queue, table and bucket of this deployment.", default="millrace"),
    VariablePolicy(name="SERVICE", purpose="Which service of the topology this process is; stands in logs and metrics.", default="shell"),
    VariablePolicy(
        name="RELEASE", purpose="Version of the running code; stands in logs, metrics and the worker list.", default="development"
    ),
    VariablePolicy(name="SECRET_KEY", purpose="Django's signing key, 50 random characters or more.", secret=True),
    VariablePolicy(name="DATABASE_HOST", purpose="PostgreSQL's host, or the directory of its socket."),
    VariablePolicy(name="DATABASE_PORT", purpose="PostgreSQL's port.", default="5432"),
    VariablePolicy(name="DATABASE_NAME", purpose="PostgreSQL's database.", default="millrace"),
    VariablePolicy(name="DATABASE_USER", purpose="PostgreSQL's user.", default="millrace"),
    VariablePolicy(name="DATABASE_PASSWORD", purpose="PostgreSQL's password; may be empty for a local socket.", secret=True),
    VariablePolicy(name="AWS_REGION", purpose="Region of the queues and tables."),
    VariablePolicy(name="AWS_ACCOUNT_ID", purpose="Account of the queues, 12 digits; their addresses follow from it."),
    VariablePolicy(name="AWS_ENDPOINT_URL", purpose="Another AWS, such as a local server. Empty: the real one.", default=""),
    VariablePolicy(name="PUBLIC_URL", purpose="What people type; https makes cookies secure and sends HSTS."),
    VariablePolicy(
        name="ALLOWED_HOSTS", purpose="Comma-separated host names that the web service answers to, besides PUBLIC_URL's.", default=""
    ),
    VariablePolicy(name="WEB_BIND", purpose="Address that gunicorn listens on.", default="0.0.0.0:8000"),
    VariablePolicy(name="WEB_THREADS", purpose="Requests that one web process serves at a time.", default="8"),
    VariablePolicy(name="WEB_PROCESSES", purpose="Web processes in one container.", default="2"),
    VariablePolicy(name="LOG_LEVEL", purpose="DEBUG, INFO, WARNING or ERROR.", default="INFO"),
    VariablePolicy(name="PULSE_DIRECTORY", purpose="Where services touch their pulse file; must be writable.", default="/tmp"),  # noqa: S108 — one file per container, no secret in it
    VariablePolicy(name="WORKER_PREFETCH_MULTIPLIER", purpose="Messages that a worker holds per slot.", default="1"),
    VariablePolicy(name="WORKER_MAX_TASKS_PER_CHILD", purpose="Runs after which a worker's child is replaced.", default="1000"),
    VariablePolicy(name="WORKER_MAX_MEMORY_PER_CHILD_MIB", purpose="Memory above which a worker's child is replaced.", default="200"),
    VariablePolicy(
        name="TASK_DEFAULT_RATE_LIMIT", purpose="Starts of one task per worker, such as 100/m. Empty: no limit.", default="100/m"
    ),
    VariablePolicy(name="IMAGES_RATE_LIMIT", purpose="Images that one worker begins, such as 10/m. Empty: no limit.", default="10/m"),
    VariablePolicy(name="RESULT_TTL_HOURS", purpose="How long results are kept.", default="168"),
    VariablePolicy(
        name="SQS_WAIT_TIME_SECONDS",
        purpose="How long a receive waits for a message, 1 to 20. Longer costs less; a worker that stops waits for its last receive.",
        default="20",
    ),
    VariablePolicy(
        name="SQS_LONGEST_DELAY_SECONDS",
        purpose="Jobs due later than this wait in the database, where they can be listed and cancelled; 1 to 900.",
        default="900",
    ),
    VariablePolicy(
        name="PROTECT_RUNS_AFTER_SECONDS",
        purpose="A run that lasts longer protects its worker's ECS task from scale-in until it ends.",
        default="30",
    ),
    VariablePolicy(
        name="ECS_AGENT_URI", purpose="Where ECS's agent takes requests for protection. ECS sets it; empty elsewhere.", default=""
    ),
    VariablePolicy(
        name="ECS_CONTAINER_METADATA_URI_V4", purpose="Where ECS tells a container its task. ECS sets it; empty elsewhere.", default=""
    ),
    VariablePolicy(
        name="EMAIL_URL",
        purpose="Where mail goes: smtp://user:password@host:587?tls=true, ses://region, or file:///directory.",
        secret=True,
    ),
    VariablePolicy(name="EMAIL_FROM", purpose="Sender of mail."),
    VariablePolicy(
        name="OUTBOUND_ALLOWED_ADDRESSES",
        purpose="Comma-separated host:port of servers that may be called although they are not of the public internet. Empty: none.",
        default="",
    ),
    VariablePolicy(name="STRIPE_API_KEY", purpose="Key of the payment gateway.", secret=True),
    VariablePolicy(name="STRIPE_API_BASE", purpose="Address of the payment gateway.", default="https://api.stripe.com"),
    VariablePolicy(name="PARTNER_API_KEY", purpose="Key of the partner's API.", secret=True),
    VariablePolicy(name="PARTNER_API_BASE", purpose="Address of the partner's API.", default="https://api.partner.example"),
)


def default_of(name: str) -> str:
    """What everybody takes who is told nothing; of a variable that has a default."""
    (default,) = (variable.default for variable in VARIABLES if variable.name == name)
    return default or ""


def port_of(name: str) -> int:
    """The port in the default of ``DATABASE_PORT`` or ``WEB_BIND``: what a deployment opens between its parts."""
    return int(default_of(name).rpartition(":")[2])
