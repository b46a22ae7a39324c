"""Makes the operator of the console and the demo's API token: ``python -m scripts.laptop.accounts``, a process of its own.

Reads ``{"username": …, "password": …, "token_file": …}`` from stdin, so that no secret stands in a process list. Run again, it
sets the password and issues another token.
"""

import json
import sys
from pathlib import Path

import django

from app.config.environment import use_settings
from scripts.laptop.environment import write_private


def main() -> None:
    use_settings()
    django.setup()
    from django.contrib.auth.models import User

    from app.api.tokens import issue_token

    wanted = json.load(sys.stdin)
    operator, _ = User.objects.get_or_create(username=wanted["username"])
    operator.is_staff = operator.is_superuser = True
    operator.set_password(wanted["password"])
    operator.save()
    write_private(Path(wanted["token_file"]), issue_token(operator, "scripts/run's demo"))


if __name__ == "__main__":
    main()
