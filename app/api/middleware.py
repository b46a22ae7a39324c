"""Problem documents for errors under the API's address that the API itself never sees."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from app.api.problems import MEDIA_TYPE, answer_problem, standard_problem

_HEADERS_OF_THE_CONTENT = ("Content-Length", "Content-Type", "Content-Language", "Content-Encoding", "ETag", "Last-Modified")
_HEADERS_THAT_STAY = ("Allow", "Retry-After", "WWW-Authenticate")


class ProblemDocuments:
    """Answers unknown addresses, unknown methods and refused hosts under the API as :mod:`app.api.problems` does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if response.status_code < HTTPStatus.BAD_REQUEST or response.headers.get("Content-Type") == MEDIA_TYPE:
            return response
        if not request.path_info.startswith(reverse("api:api-root")):
            return response
        kept = {name: response.headers[name] for name in _HEADERS_THAT_STAY if name in response.headers}
        problem = answer_problem(standard_problem(response.status_code, kept))
        # The security headers that other middleware has set stay; what described the old content goes.
        for name, value in response.headers.items():
            if name not in _HEADERS_OF_THE_CONTENT:
                problem.headers.setdefault(name, value)
        return problem
