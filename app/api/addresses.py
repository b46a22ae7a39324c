"""Where the answers of a router are."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse


def address_of(request: HttpRequest, name: str, **of: Any) -> str:
    """The path of an endpoint by its ``url_name``, wherever the API is mounted."""
    mounted_at = request.resolver_match.namespace if request.resolver_match else ""
    return reverse(f"{mounted_at}:{name}", kwargs=of)
