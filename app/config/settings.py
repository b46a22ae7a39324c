"""The only settings file. Deployments differ by the values in their environment, not by code."""

from pathlib import Path

from app.config import workload
from app.config.environment import read_environment
from app.config.schedule import SCHEDULE
from app.engine.aws.files import file_storage
from app.engine.broker.settings import celery_settings
from app.engine.conf import EngineSettings
from app.engine.logs.settings import logging_settings
from app.topology import TOPOLOGY

_environment = read_environment()
BASE_DIR = Path(__file__).resolve().parents[2]

# -- Django -------------------------------------------------------------------------------------------------------
SECRET_KEY = _environment.secret_key.get_secret_value()
DEBUG = False
ALLOWED_HOSTS = _environment.hosts
PUBLIC_URL = _environment.public_url
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
ROOT_URLCONF = "app.config.urls"
WSGI_APPLICATION = "app.config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

INSTALLED_APPS = [
    "app.config",
    "app.engine.effects",
    "app.engine.limits",
    "app.engine.outbox",
    "app.engine.progress",
    "app.engine.sagas",
    "app.engine.schedules",
    "app.engine",
    "app.api",
    "app.console",
    *workload.APPS,
    "anymail",
    "django_celery_beat",
    "django_htmx",
    "ninja",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "app.engine.health.middleware.AcceptProbes",
    "app.engine.logs.middleware.RequestContext",
    "app.api.middleware.ProblemDocuments",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "app.config.frame.navigation",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _environment.database_host,
        "PORT": _environment.database_port,
        "NAME": _environment.database_name,
        "USER": _environment.database_user,
        "PASSWORD": _environment.database_password.get_secret_value(),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": f"millrace {_environment.service}",
            # A database that failed over without a word is noticed after half a minute, not after the kernel's quarter of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": 30_000,
        },
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "console:overview"
LOGOUT_REDIRECT_URL = "login"

STATIC_URL = "static/"
#: Few files, served from where they lie: there is no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True

#: Nothing that people or programs send us is larger; uploads of files go another way.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

# -- Security: follows from whether people reach us by https -----------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _environment.is_https
SECURE_HSTS_SECONDS = 31_536_000 if _environment.is_https else 0
#: For this host only: what else lives under the domain is not ours to bind for a year.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
#: The load balancer's health checks speak plain http from inside.
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SESSION_COOKIE_AGE = 12 * 60 * 60
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        # Swagger's bundle and htmx's indicator set style attributes.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    },
}

# -- Mail ---------------------------------------------------------------------------------------------------------
globals().update(_environment.email)
DEFAULT_FROM_EMAIL = _environment.email_from

# -- The engine ---------------------------------------------------------------------------------------------------
ENGINE = EngineSettings(
    topology=TOPOLOGY,
    name_prefix=_environment.name_prefix,
    service=_environment.service,
    release=_environment.release,
    region=_environment.aws_region,
    account_id=_environment.aws_account_id,
    endpoint_url=_environment.aws_endpoint_url,
    pulse_directory=_environment.pulse_directory,
    result_ttl=_environment.result_ttl,
    longest_sqs_delay=_environment.longest_sqs_delay,
    sqs_wait_time=_environment.sqs_wait_time,
    ecs_agent_url=_environment.ecs_agent_uri,
    ecs_metadata_url=_environment.ecs_container_metadata_uri_v4,
    protect_runs_after=_environment.protect_runs_after,
    outbound_allowed=_environment.outbound_allowed,
)

STORAGES = {
    "default": file_storage(ENGINE),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

CELERY = celery_settings(ENGINE) | {
    "worker_prefetch_multiplier": _environment.worker_prefetch_multiplier,
    "worker_max_tasks_per_child": _environment.worker_max_tasks_per_child,
    "worker_max_memory_per_child": _environment.worker_max_memory_per_child_mib * 1024,
    "task_default_rate_limit": _environment.task_default_rate_limit or None,
    "beat_scheduler": "app.engine.schedules.scheduler:Scheduler",
    "beat_schedule": SCHEDULE,
}

LOGGING = logging_settings(level=_environment.log_level, service=_environment.service, release=_environment.release)

# -- The workload -------------------------------------------------------------------------------------------------
STRIPE_API_KEY = _environment.stripe_api_key.get_secret_value()
STRIPE_API_BASE = _environment.stripe_api_base
IMAGES_RATE_LIMIT = _environment.images_rate_limit
PARTNER_API_KEY = _environment.partner_api_key.get_secret_value()
PARTNER_API_BASE = _environment.partner_api_base
