"""What gunicorn serves. Refuses to start when a system check fails, as workers and commands do."""

from django.core.checks import run_checks
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

from app.config.environment import use_settings

use_settings()
application = get_wsgi_application()

_failures = [str(message) for message in run_checks() if message.is_serious()]
if _failures:
    raise SystemCheckError("The web service does not start:\n" + "\n".join(_failures))
