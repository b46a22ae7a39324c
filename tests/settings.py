"""The application's own settings, in the environment of the tests. For pytest and mypy."""

import os

from tests.support.environment import environment, install

if "NAME_PREFIX" not in os.environ:
    install(environment())

from app.config.settings import *  # noqa: E402, F403 — settings modules are made of names
