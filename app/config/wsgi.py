"""What gunicorn serves. Refuses to start when a system check fails, as workers, beat and commands do."""

from django.core.wsgi import get_wsgi_application

from app.config.environment import use_settings
from app.config.startup import refuse_wrong_start

use_settings()
application = get_wsgi_application()
refuse_wrong_start()
