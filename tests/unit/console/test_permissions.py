from http import HTTPStatus

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from app.console.permissions import staff_only


@staff_only
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("secret")


def test_anonymous_people_are_sent_to_the_login_and_back() -> None:
    request = RequestFactory().get("/console/?page=2")
    request.user = AnonymousUser()

    answer = page(request)

    assert answer.status_code == HTTPStatus.FOUND
    assert answer["Location"].endswith("/login/?next=/console/%3Fpage%3D2")


def test_a_page_that_refreshes_itself_is_not_given_the_login_form() -> None:
    request = RequestFactory().get("/console/live/", headers={"HX-Request": "true"})
    request.user = AnonymousUser()

    assert page(request).status_code == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("user", [User(is_staff=False), User(is_staff=True, is_active=False)])
def test_people_who_are_not_staff_are_told_what_to_do(user: User) -> None:
    request = RequestFactory().get("/console/")
    request.user = user

    with pytest.raises(PermissionDenied, match="Ask an administrator"):
        page(request)


def test_staff_may_look() -> None:
    request = RequestFactory().get("/console/")
    request.user = User(is_staff=True)

    assert page(request).status_code == HTTPStatus.OK
