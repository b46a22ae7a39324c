"""Who may look."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase

P = ParamSpec("P")


def staff_only(view: Callable[Concatenate[HttpRequest, P], HttpResponseBase]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Send anonymous people to the login and back; tell those who are logged in without being staff why they may not.

    A page that refreshes itself gets 401 instead of the login: htmx would put the login form in the middle of it.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            if request.headers.get("HX-Request"):
                return HttpResponse("Your session has ended. Log in again.", status=HTTPStatus.UNAUTHORIZED, content_type="text/plain")
            return redirect_to_login(request.get_full_path())
        if not (request.user.is_active and request.user.is_staff):
            raise PermissionDenied("The console is for staff. Ask an administrator to mark your account as staff.")
        return view(request, *args, **kwargs)

    return guarded
