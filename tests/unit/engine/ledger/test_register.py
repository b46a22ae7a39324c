"""Every job has a record from its enqueuing on, and a ledger that is away stops nobody."""

import atexit
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from app.engine.conf import engine_settings
from app.engine.job_ledger import Enqueued
from app.engine.ledger import register as module
from app.engine.ledger.lineage import followers_of
from app.engine.ledger.records import shard_of, sharded
from app.engine.ledger.register import Register
from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually
from tests.unit.engine.ledger.fake_dynamodb import TABLE, FakeDynamoDb, client_error

AWAY = client_error("InternalServerError", status=500)


class Desk:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dynamodb = FakeDynamoDb()
        monkeypatch.setattr("app.engine.ledger.register.clients.lean_dynamodb", lambda _: self.dynamodb)
        monkeypatch.setattr(module, "table_name", lambda *_: TABLE)
        self._at_exit: list[Callable[[], None]] = []
        monkeypatch.setattr(atexit, "register", lambda function, *arguments: self._at_exit.append(partial(function, *arguments)))
        self.register = Register(engine_settings, clock=lambda: 1000.0)

    def exit(self) -> None:
        """What the register does at the end of its process; not what others do, such as CDK, which waits for its own child."""
        for function in reversed(self._at_exit):
            function()

    def begin(self, *ids: str, **headers: Any) -> Any:
        return self.register.begin([job(task_id, **headers) for task_id in ids])


def job(task_id: str, body: Any = None, tenant: str | None = None, **headers: Any) -> Enqueued:
    return Enqueued(
        headers={"id": task_id, "task": "shop.charge", "root_id": task_id, "origin": "1@web", **headers},
        queue="default",
        tenant=tenant,
        body=body,
    )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(monkeypatch)
    yield made
    made.dynamodb.failing = None
    made.register._writer.flush(5)
    made.register._writer.close()


def test_a_job_is_recorded_with_what_its_message_says(desk: Desk) -> None:
    enqueued = job("2", tenant="acme", root_id="1", parent_id="1", group="g", eta="2026-01-02T00:00:00+00:00")

    assert desk.register.begin([enqueued]).wait()

    item = desk.dynamodb.item("enqueued-2")
    assert {name: value["S"] for name, value in item.items() if "S" in value} == {
        "id": "enqueued-2",
        "task": "shop.charge",
        "queue": "default",
        "origin": "1@web",
        "root": "1",
        "parent": "1",
        "in_group": "g",
        "tenant": "acme",
        "tenant_shard": sharded("acme", shard_of("2")),
        "eta": "2026-01-02T00:00:00+00:00",
    }
    assert float(item["enqueued_at"]["N"]) == 1000
    assert int(item["ttl"]["N"]) == 1000 + engine_settings().result_ttl.total_seconds()


def test_many_jobs_are_twenty_five_a_request(desk: Desk) -> None:
    assert desk.begin(*map(str, range(250))).wait()

    assert len(desk.dynamodb.table) == 250
    assert desk.dynamodb.calls == ["batch of 25"] * 10


def test_whoever_comes_while_a_request_is_under_way_shares_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    write = desk.dynamodb.batch_write_item
    monkeypatch.setattr(desk.dynamodb, "batch_write_item", lambda **request: go_on.wait(5) and write(**request))
    batches = [desk.begin("first")]
    eventually(lambda: desk.register._writer._under_way)
    batches += [desk.begin(str(number)) for number in range(20)]
    go_on.set()

    assert all(batch.wait() for batch in batches)
    assert desk.dynamodb.calls == ["batch of 1", "batch of 20"]


def test_a_retry_needs_no_record_and_a_replacement_gets_one(desk: Desk) -> None:
    assert desk.begin("1", retries=1).wait()
    assert desk.begin("2", replaced_task_nesting=1).wait()

    assert desk.dynamodb.item("enqueued-1") == {}
    assert desk.dynamodb.item("enqueued-2") != {}


def test_a_record_that_is_written_twice_says_the_same(desk: Desk) -> None:
    desk.begin("1").wait()
    before = desk.dynamodb.item("enqueued-1")
    desk.begin("1").wait()

    assert desk.dynamodb.item("enqueued-1") == before


@pytest.mark.parametrize(("is_certain", "name"), [(True, "not_sent"), (False, "unanswered")])
def test_what_was_not_sent_is_recorded_as_such(desk: Desk, is_certain: bool, name: str) -> None:
    recording = desk.begin("1", "2")
    recording.not_sent({"2": "AccessDenied", "another's": "?"}, is_certain=is_certain)

    assert recording.wait()
    assert desk.dynamodb.item("enqueued-2")[name] == {"S": "AccessDenied"}
    assert name not in desk.dynamodb.item("enqueued-1")
    assert len(desk.dynamodb.table) == 2


def test_while_the_ledger_is_away_few_wait_and_all_is_recorded_afterwards(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.dynamodb.failing = AWAY
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert not any(desk.begin(str(number)).wait() for number in range(200))
    assert time.monotonic() - started < 0.5, "a failure that is known need not be waited for"
    assert len([line for line in caplog.records if "does not confirm" in line.message]) == 1

    desk.dynamodb.failing = None
    eventually(lambda: len(desk.dynamodb.table), 200, within=15)
    assert desk.begin("later").wait()


def test_a_ledger_that_is_silent_costs_one_caller_a_second(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    go_on = threading.Event()
    write = desk.dynamodb.batch_write_item
    monkeypatch.setattr(desk.dynamodb, "batch_write_item", lambda **request: go_on.wait(10) and write(**request))
    waited = []
    for number in range(20):
        started = time.monotonic()
        desk.begin(str(number)).wait()
        waited.append(time.monotonic() - started)
    go_on.set()

    assert len([seconds for seconds in waited if seconds > 0.1]) == 1
    eventually(lambda: len(desk.dynamodb.table), 20)


class Shelf:
    """Stands where the database does."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.error: Exception | None = None
        self.asked = 0

    def keep(self, items: list[dict[str, Any]]) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.kept |= {item["id"]["S"]: item for item in items}


@pytest.fixture
def shelf(desk: Desk) -> Shelf:
    made = Shelf()
    desk.register._keep = made.keep
    return made


def test_what_the_ledger_does_not_confirm_is_kept_elsewhere(desk: Desk, shelf: Shelf) -> None:
    assert desk.begin("confirmed").wait()
    desk.dynamodb.failing = AWAY
    recording = desk.begin("1", "2")
    recording.not_sent({"2": "denied"}, is_certain=True)

    assert not recording.wait()
    assert set(shelf.kept) == {"enqueued-1", "enqueued-2"}
    assert shelf.kept["enqueued-2"]["not_sent"] == {"S": "denied"}


def test_while_the_database_is_away_too_it_is_not_asked_for_each_job(desk: Desk, shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    desk.dynamodb.failing, shelf.error = AWAY, OSError("no database")
    for number in range(20):
        desk.begin(str(number)).wait()

    assert shelf.asked == 1
    assert len([line for line in caplog.records if "in this process only" in line.message]) == 1


def test_what_was_kept_is_written_when_the_ledger_is_back_and_not_kept_once_more(desk: Desk, shelf: Shelf) -> None:
    item = {"id": {"S": "enqueued-1"}, "task": {"S": "shop.charge"}}
    desk.dynamodb.failing = AWAY
    assert not desk.register.write([item])
    assert shelf.kept == {}

    desk.dynamodb.failing = None
    eventually(lambda: desk.register.write([item]))
    assert desk.dynamodb.item("enqueued-1") == item


def test_of_more_than_it_may_keep_the_oldest_records_are_dropped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 100)
    desk.dynamodb.failing = AWAY
    for number in range(50):
        desk.begin(*(f"{number}-{part}" for part in range(10)))

    assert len(desk.register._writer._waiting) <= 100


def test_one_record_that_no_table_could_take_does_not_keep_its_neighbours_out(desk: Desk) -> None:
    recording = desk.register.begin([job("1"), job("2", origin="x" * 500_000), job("3")])

    assert recording.wait()
    assert desk.dynamodb.item("enqueued-1") != {} != desk.dynamodb.item("enqueued-3")
    assert desk.dynamodb.item("enqueued-2") == {}


def test_what_dynamodb_did_not_get_round_to_is_written_again(desk: Desk) -> None:
    desk.dynamodb.unprocessed = {"enqueued-3"}

    desk.begin(*map(str, range(5)))

    eventually(lambda: len(desk.dynamodb.table), 5)


def test_a_forked_child_records_with_a_thread_of_its_own(desk: Desk) -> None:
    desk.begin("parent").wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if desk.begin("child").wait() and desk.dynamodb.item("enqueued-child") else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_is_under_way_at_a_normal_exit_is_written_first(desk: Desk) -> None:
    pid = os.fork()
    if pid == 0:
        desk.begin(*map(str, range(100)))
        desk.exit()
        os._exit(0 if len(desk.dynamodb.table) == 100 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_that_was_forked_amid_a_write_exits_all_the_same(desk: Desk) -> None:
    desk.begin("parent's").wait()
    is_held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with desk.register._writer._changed:
            is_held.set()
            go_on.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(5)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        desk.exit()
        os._exit(0)
    go_on.set()
    thread.join()

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys, time
from datetime import timedelta
from types import SimpleNamespace
import gevent
from app.engine.aws import clients
from app.engine.job_ledger import Enqueued
from app.engine.ledger.register import Register
from tests.unit.engine.ledger.fake_dynamodb import TABLE, FakeDynamoDb

class Slow(FakeDynamoDb):
    def batch_write_item(self, **request):
        time.sleep(0.02)
        return super().batch_write_item(**request)

dynamodb = Slow()
clients.lean_dynamodb = lambda _: dynamodb
import app.engine.ledger.register as module
module.table_name = lambda *_: TABLE
register = Register(lambda: SimpleNamespace(name_prefix="p", result_ttl=timedelta(days=1)))

def delay(number):
    return register.begin([Enqueued(headers={"id": str(number), "task": "t"}, queue="q")]).wait()

ended = [greenlet.value for greenlet in gevent.joinall([gevent.spawn(delay, number) for number in range(100)])]
assert ended == [True] * 100, ended
assert len(dynamodb.calls) < 20, dynamodb.calls
register.begin([Enqueued(headers={"id": "last", "task": "t"}, queue="q")])
"""


def test_greenlets_share_requests_and_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", GREENLETS], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_job_without_an_id_harms_nobody(desk: Desk) -> None:
    assert desk.register.begin([Enqueued(headers={}, queue="default"), job("1")]).wait()
    assert len(desk.dynamodb.table) == 1


# -- what follows ---------------------------------------------------------------------------------------------------------


def signature(task_id: str, **options: Any) -> dict[str, Any]:
    return {"task": f"shop.{task_id}", "args": [], "kwargs": {}, "options": {"task_id": task_id, **options}}


def body(**embedded: Any) -> tuple[Any, ...]:
    return [], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embedded}


def test_what_follows_a_job_is_awaited(desk: Desk) -> None:
    assert desk.register.begin([job("1", body=body(chain=[signature("3"), signature("2")]))]).wait()

    assert {key: desk.dynamodb.item(f"awaited-{key}")["awaits"]["S"] for key in "23"} == {"2": "1", "3": "1"}
    assert desk.dynamodb.item("awaited-2")["task"]["S"] == "shop.2"
    assert "ttl" in desk.dynamodb.item("awaited-2")


def test_the_parts_of_a_chord_await_one_body(desk: Desk) -> None:
    desk.register.begin([job(str(number), body=body(chord=signature("body"))) for number in range(20)]).wait()

    assert len(desk.dynamodb.table) == 21
    assert desk.dynamodb.calls == ["batch of 21"]


@pytest.mark.parametrize(
    ("embedded", "ids"),
    [
        (
            {"chain": [{"task": "celery.group", "kwargs": {"tasks": [signature("a"), signature("b")]}, "options": {"task_id": "g"}}]},
            {"a", "b"},
        ),
        (
            {
                "chain": [
                    {
                        "task": "celery.chord",
                        "kwargs": {"header": {"task": "celery.group", "kwargs": {"tasks": [signature("a")]}}, "body": signature("b")},
                    },
                ]
            },
            {"a", "b"},
        ),
        ({"chord": signature("body", chain=[signature("after")])}, {"body", "after"}),
        ({"chain": [{"task": "celery.chain", "kwargs": {"tasks": [signature("a")]}, "options": {}}]}, {"a"}),
        ({"chain": [{"task": "shop.unnamed", "options": {}}, "odd", None]}, set()),
        ({}, set()),
    ],
    ids=["group", "chord", "after the body", "chain", "odd", "none"],
)
def test_whatever_the_canvas_is_what_follows_is_found(embedded: Any, ids: set[str]) -> None:
    assert set(followers_of(body(**embedded))) == ids
    assert set(followers_of(json.dumps(body(**embedded)))) == ids


@pytest.mark.parametrize("odd", [None, "", "{", '"task_id"', "[" * 100_000 + '"task_id"', {"task_id": 1}, [1, 2], (1, 2, 3)])
def test_a_body_that_is_none_has_nothing_that_follows(odd: Any) -> None:
    assert followers_of(odd) == {}
