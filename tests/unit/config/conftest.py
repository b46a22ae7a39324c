"""Django made ready before the modules of these tests are imported."""

import django

django.setup()
