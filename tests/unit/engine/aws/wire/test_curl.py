"""Around libcurl: answers behind a proxy, and threads that gevent can spare. What libcurl does is in the integration tests."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.aws.wire import curl as module
from app.engine.aws.wire.curl import Answer, Http


def test_headers_are_those_of_the_last_answer() -> None:
    raw = (
        b"HTTP/1.1 200 Connection established\r\nDate: proxy\r\n\r\n"
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 400 Bad Request\r\nX-Amzn-RequestId:  r-1 \r\ndate: Tue, 24 Nov 2026 00:00:00 GMT\r\nnonsense\r\n\r\n"
    )

    headers = Answer(400, raw, b"").headers

    assert headers == {"x-amzn-requestid": "r-1", "date": "Tue, 24 Nov 2026 00:00:00 GMT", "nonsense": ""}


class _Killed(BaseException):
    """Stands for gevent's GreenletExit."""


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """gevent's thread pool, as far as it is used."""
    with ThreadPoolExecutor(2, thread_name_prefix="pool") as threads:
        pool = SimpleNamespace(apply=lambda function: threads.submit(function).result())
        monkeypatch.setitem(sys.modules, "gevent", SimpleNamespace(get_hub=lambda: SimpleNamespace(threadpool=pool)))
        monkeypatch.setattr(module, "detect_environment", lambda: "gevent")
        yield pool


class FakeCurl:
    """Notes the thread that waits."""

    def __init__(self) -> None:
        self.performed_by: list[str] = []

    def setopt(self, *_: Any) -> None: ...

    def getinfo(self, _: int) -> int:
        return 200

    def perform(self) -> None:
        self.performed_by.append(threading.current_thread().name)


@pytest.fixture
def curls(monkeypatch: pytest.MonkeyPatch) -> list[FakeCurl]:
    made: list[FakeCurl] = []

    def make() -> FakeCurl:
        made.append(FakeCurl())
        return made[-1]

    monkeypatch.setattr("pycurl.Curl", make)
    return made


def post(http: Http) -> Answer:
    return http.post("http://sqs", [], b"{}", timeout=1)


def test_with_gevent_the_waiting_is_done_by_a_thread_of_its_pool(pool: Any, curls: list[FakeCurl]) -> None:
    http = Http(connect_timeout=1, certificates="ca.pem")

    post(http)
    post(http)

    assert [[name[:4] for name in curl.performed_by] for curl in curls] == [["pool", "pool"]]


def test_without_gevent_the_caller_waits_itself(curls: list[FakeCurl]) -> None:
    post(Http(connect_timeout=1, certificates="ca.pem"))

    assert curls[0].performed_by == [threading.current_thread().name]


def test_a_handle_whose_greenlet_was_killed_is_not_used_again(pool: Any, curls: list[FakeCurl]) -> None:
    def killed(_: Callable[[], None]) -> None:
        raise _Killed

    http = Http(connect_timeout=1, certificates="ca.pem")
    apply, pool.apply = pool.apply, killed
    with pytest.raises(_Killed):
        post(http)
    pool.apply = apply

    post(http)

    assert [len(curl.performed_by) for curl in curls] == [0, 1]
