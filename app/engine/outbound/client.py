"""One call, from a URL to an answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin

import requests
from urllib3.exceptions import HTTPError

from app.engine.conf import engine_settings
from app.engine.outbound.addresses import why_not_public
from app.engine.outbound.answer import Answer, unpacked
from app.engine.outbound.connections import CheckedAdapter, Route
from app.engine.outbound.deadline import Deadline
from app.engine.outbound.errors import AnswerUnusable, CallRefused, PartnerAway
from app.engine.outbound.limits import Limits
from app.engine.outbound.resolving import resolve
from app.engine.outbound.target import PORTS, Target, read_target

Resolver = Callable[[str, int, float], Sequence[str]]

_PIECE_BYTES = 16 * 1024
_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}
_SAME_METHOD = {HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}
_OWN_HEADERS = {"User-Agent": "millrace", "Accept": "application/json", "Accept-Encoding": "gzip, deflate", "Connection": "close"}


class Client:
    """Thread-safe; keeps nothing between calls.

    ``allowed`` are ``host:port`` that may be called although they are not public; of public hosts only ``ports`` are.
    """

    def __init__(
        self,
        *,
        allowed: frozenset[str],
        ports: frozenset[int] = frozenset(PORTS.values()),
        limits: Limits | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._allowed = allowed
        self._ports = ports
        self._limits = limits or Limits()
        self._resolve = resolver

    def send(self, method: str, url: str, *, json: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Call, follow redirects, and return the answer of whatever status.

        Raises :class:`CallRefused` before anything is sent to an address that we do not call, :class:`PartnerAway` without an answer
        in time, :class:`AnswerUnusable` for one that is too large or cannot be unpacked.
        """
        target, own = read_target(url), dict(headers or {})
        with Deadline(self._limits.total_seconds) as deadline:
            for _ in range(self._limits.redirects + 1):
                answer = self._hop(method, target, json, own, deadline)
                location = answer.headers.get("location")
                if answer.status not in _REDIRECTS or not location:
                    return answer
                following = _followed(target, location)
                if target.scheme == "https" and following.scheme != "https":
                    raise CallRefused(f"{target.host} redirects from https to http: what is said would be read on the way.")
                if answer.status not in _SAME_METHOD and method != "HEAD":
                    method, json = "GET", None
                if following.origin != target.origin:
                    own = {}
                    if json is not None:
                        raise CallRefused(f"{target.host} redirects to {following.host}, which is not sent what was meant for the former.")
                target = following
        raise CallRefused(f"{target.host} redirects for more than {self._limits.redirects} times.")

    def _hop(self, method: str, target: Target, json: Any, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        route = Route(self._checked_addresses(target, deadline), deadline, self._limits.connect_seconds)
        with _translated(target, deadline), _OneHop() as session:
            # No proxy, no .netrc and no certificates of the environment.
            session.trust_env = False
            session.mount(f"{target.scheme}://", CheckedAdapter(route))
            seconds = min(self._limits.connect_seconds, deadline.seconds_left), min(self._limits.read_seconds, deadline.seconds_left)
            with session.request(
                method,
                target.url,
                json=json,
                headers=_OWN_HEADERS | dict(headers),
                timeout=(max(seconds[0], 0.001), max(seconds[1], 0.001)),
                allow_redirects=False,
                stream=True,
            ) as response:
                answer = Answer(
                    status=response.status_code,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=b"" if response.is_redirect else self._body(response),
                    url=target.url,
                )
        # What was cut looks as if it had come to its end, where no length was told.
        if deadline.is_over:
            raise _too_late(target)
        return answer

    def _body(self, response: requests.Response) -> bytes:
        largest = self._limits.answer_bytes
        if (told := response.headers.get("Content-Length", "")).isdigit() and int(told) > largest:
            raise AnswerUnusable(f"The answer is larger than {largest:,} bytes: {told}. It was not read.")
        return unpacked(_pieces(response), response.headers.get("Content-Encoding", ""), largest)

    def _checked_addresses(self, target: Target, deadline: Deadline) -> Sequence[str]:
        is_allowed = target.authority in self._allowed
        if target.port not in self._ports and not is_allowed:
            ports = " and ".join(map(str, sorted(self._ports)))
            raise CallRefused(f"{target.host}: port {target.port} is not called, only {ports}. {_WAY_OUT}")
        seconds = min(self._limits.resolve_seconds, deadline.seconds_left)
        addresses = [target.host] if target.is_literal else self._resolve(target.host, target.port, seconds)
        if not addresses:
            raise PartnerAway(f"The name {target.host} has no address.")
        for address in addresses:
            # One that is wrong makes the name wrong: who chooses among several is not us.
            if not is_allowed and (reason := why_not_public(address)) is not None:
                raise CallRefused(f"{target.host} is not called: its address {address} is {reason}. {_WAY_OUT}")
        return addresses


class _OneHop(requests.Session):
    """Looks at no redirect: to do so requests reads the whole body, unpacked, however large."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


_WAY_OUT = "Only OUTBOUND_ALLOWED_ADDRESSES makes exceptions."


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """As they come, still packed: unpacking is ours, with a bound."""
    while piece := response.raw.read(_PIECE_BYTES, decode_content=False):
        yield piece


def _followed(target: Target, location: str) -> Target:
    try:
        return read_target(urljoin(target.url, location))
    except ValueError as error:
        raise CallRefused(f"{target.host} redirects to what is no URL.") from error


def _too_late(target: Target) -> PartnerAway:
    return PartnerAway(f"{target.host} did not answer in time. The connection was cut.")


@contextmanager
def _translated(target: Target, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
        raise CallRefused(f"{target.host}: the URL or a header cannot be sent: {type(error).__name__}.") from error
    except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
        if deadline.is_over or deadline.seconds_left <= 0:
            raise _too_late(target) from error
        raise PartnerAway(f"{target.host} did not answer: {type(error).__name__}.") from error


def client() -> Client:
    """The client of this deployment."""
    return _with(engine_settings().outbound_allowed)


@cache
def _with(allowed: frozenset[str]) -> Client:
    return Client(allowed=allowed)
