"""The application's own settings, in the environment of the tests. For pytest and mypy."""

from tests.support.environment import environment, install

install(environment())

from app.config.settings import *  # noqa: E402, F403 — settings modules are made of names
