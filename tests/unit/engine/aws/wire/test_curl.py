"""Around libcurl: answers behind a proxy, and threads that gevent can spare. What libcurl does is in the integration tests."""

import threading
from typing import Any

import gevent
import pycurl
import pytest

from app.engine.aws.wire import greenlets
from app.engine.aws.wire.curl import Answer, Http
from app.engine.aws.wire.errors import NotSent


def test_headers_are_those_of_the_last_answer() -> None:
    raw = (
        b"HTTP/1.1 200 Connection established\r\nDate: proxy\r\n\r\n"
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 400 Bad Request\r\nX-Amzn-RequestId:  r-1 \r\ndate: Tue, 24 Nov 2026 00:00:00 GMT\r\nnonsense\r\n\r\n"
    )

    headers = Answer(400, raw, b"").headers

    assert headers == {"x-amzn-requestid": "r-1", "date": "Tue, 24 Nov 2026 00:00:00 GMT", "nonsense": ""}


@pytest.fixture
def _gevent(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent itself; that this process is patched, which it is not, is all that is made up."""
    monkeypatch.setattr(greenlets, "detect_environment", lambda: "gevent")


class FakeCurl:
    """Notes the thread that waits, and waits for as long as it is told to."""

    def __init__(self) -> None:
        self.performed_by: list[int] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def setopt(self, *_: Any) -> None: ...

    def getinfo(self, _: int) -> int:
        return 200

    def close(self) -> None: ...

    def perform(self) -> None:
        self.performed_by.append(threading.get_ident())
        self.may_end.wait(10)
        if self.error is not None:
            raise self.error


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


@pytest.mark.usefixtures("_gevent")
def test_with_gevent_a_native_thread_waits_while_the_greenlets_go_on(curls: list[FakeCurl]) -> None:
    http = Http(connect_timeout=1, certificates="ca.pem")
    post(http)
    curls[0].may_end.clear()
    waiting = gevent.spawn(post, http)
    gevent.sleep(0)

    assert gevent.spawn(post, http).get(timeout=5).status == 200
    assert not waiting.ready()
    curls[0].may_end.set()
    assert waiting.get(timeout=5).status == 200
    assert [len(curl.performed_by) for curl in curls] == [2, 1]
    assert threading.get_ident() not in curls[0].performed_by + curls[1].performed_by


@pytest.mark.usefixtures("_gevent")
def test_with_gevent_more_requests_wait_at_once_than_its_own_pool_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 4 * gevent.get_hub().threadpool_size
    everybody = threading.Barrier(number)

    class Meeting(FakeCurl):
        def perform(self) -> None:
            everybody.wait(10)

    monkeypatch.setattr("pycurl.Curl", Meeting)
    http = Http(connect_timeout=1, certificates="ca.pem")

    requests = [gevent.spawn(post, http) for _ in range(number)]

    assert [request.get(timeout=15).status for request in requests] == [200] * number


@pytest.mark.usefixtures("_gevent")
def test_with_gevent_a_failure_is_raised_where_it_was_asked_and_printed_nowhere(
    curls: list[FakeCurl], capfd: pytest.CaptureFixture[str]
) -> None:
    http = Http(connect_timeout=1, certificates="ca.pem")
    post(http)
    curls[0].error = pycurl.error(28, "Timeout was reached")

    with pytest.raises(NotSent):
        post(http)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("_gevent")
def test_a_native_thread_under_gevent_waits_itself_and_takes_nothing_from_the_greenlets(curls: list[FakeCurl]) -> None:
    http = Http(connect_timeout=1, certificates="ca.pem")

    thread = gevent.get_hub().threadpool.apply(lambda: [threading.get_ident(), post(http)])[0]
    post(http)

    first, second = curls[0].performed_by
    assert first == thread
    assert second not in (thread, threading.get_ident())


def test_without_gevent_the_caller_waits_itself(curls: list[FakeCurl]) -> None:
    post(Http(connect_timeout=1, certificates="ca.pem"))

    assert curls[0].performed_by == [threading.get_ident()]


@pytest.mark.usefixtures("_gevent")
def test_a_handle_whose_greenlet_was_killed_is_not_used_again(curls: list[FakeCurl]) -> None:
    http = Http(connect_timeout=1, certificates="ca.pem")
    post(http)
    curls[0].may_end.clear()
    waiting = gevent.spawn(post, http)
    gevent.sleep(0)
    waiting.kill()

    post(http)
    curls[0].may_end.set()

    assert [len(curl.performed_by) for curl in curls] == [2, 1]
