"""Bearer tokens: ``Authorization: Bearer mr_…``."""

import hashlib
import re
import secrets
from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from app.api.errors import Problem
from app.api.models import ApiToken

_SHAPE = re.compile(r"mr_[A-Za-z0-9_-]{43}")
_SHOWN_CHARACTERS = 9
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


def issue_token(owner: AbstractBaseUser, name: str) -> str:
    """Make a token and return it in clear, the only time that anybody sees it."""
    token = f"mr_{secrets.token_urlsafe(32)}"
    ApiToken.objects.create(owner_id=owner.pk, name=name, prefix=token[:_SHOWN_CHARACTERS], digest=digest_of(token))
    return token


def digest_of(token: str) -> str:
    """What the database holds. Unsalted on purpose: 256 random bits cannot be guessed, and the digest is looked up."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenAuthentication(HttpBearer):
    """Sets ``request.user`` to the owner of a live token, else the answer is 401.

    Revoking a token or deactivating its owner works at the next request.
    """

    openapi_description = "A token from `python -m app.manage create_api_token <username> <name>`."

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        if not _SHAPE.fullmatch(token):
            return None
        live = ApiToken.objects.select_related("owner").filter(digest=digest_of(token), revoked_at=None, owner__is_active=True)
        found = live.first()
        if found is None:
            return None
        _note_use(found)
        request.user = found.owner
        return found


class StaffTokenAuthentication(TokenAuthentication):
    """As above, for staff: the tokens of others are answered 403. For what tells of other people's data."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        found = super().authenticate(request, token)
        if found is not None and not found.owner.is_staff:
            raise Problem(403, detail="This is for staff: the owner of this token is not.")
        return found


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - _USE_IS_NOTED_EVERY:
        not_noted_yet = Q(last_used_at=None) | Q(last_used_at__lt=now - _USE_IS_NOTED_EVERY)
        ApiToken.objects.filter(not_noted_yet, pk=token.pk).update(last_used_at=now)
