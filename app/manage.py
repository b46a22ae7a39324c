"""Django's command line: ``python -m app.manage check``."""

import sys

from django.core.management import execute_from_command_line

from app.config.environment import use_settings


def main() -> None:
    use_settings()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
