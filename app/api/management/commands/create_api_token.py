from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from app.api.models import LONGEST_NAME
from app.api.tokens import issue_token


class Command(BaseCommand):
    help = "Print a new API token. It is shown once; only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="who the program acts as")
        parser.add_argument("name", help="what uses the token, such as 'shop front end'")

    def handle(self, *args: Any, username: str, name: str, **options: Any) -> None:
        user_model = get_user_model()
        try:
            owner = user_model.objects.get_by_natural_key(username)
        except user_model.DoesNotExist as error:
            raise CommandError(f"There is no user {username!r}. Create one with createsuperuser or in the admin.") from error
        if not 1 <= len(name) <= LONGEST_NAME:
            raise CommandError(f"The name must have 1 to {LONGEST_NAME} characters, this one has {len(name)}.")
        self.stdout.write(issue_token(owner, name))
