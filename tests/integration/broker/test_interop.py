"""Old and new programs share queues: what stock Celery sends, ours runs, and the other way round, each job once."""

from collections import Counter
from typing import Any

from tests.integration.broker.fleet import OTHER_QUEUE, OURS, STOCK, Fleet
from tests.support.broker import QUEUE
from tests.support.eventually import eventually

#: Everything that both programs say in the same words; the jobs are numbered through.
SENT = """
import time
from datetime import UTC, datetime, timedelta
began = time.time()
for job in range(10):
    note.delay(job)
for job in range(10, 15):
    note.apply_async((job,), countdown=3)
note.apply_async((15,), eta=datetime.now(UTC) + timedelta(seconds=3))
group(note.si(job) for job in range(16, 41)).apply_async()
for job in range(41, 46):
    note.apply_async((job,), priority=job % 10)
note.apply_async((46,), expires=60)
note.apply_async((47,), expires=datetime.now(UTC) + timedelta(hours=1))
app.send_task("shop.note", kwargs={"job": 48})
note.apply_async((49,), task_id="an-id-of-my-own", headers={"tenant": "blau"})
note.delay("Grüße, 世界 🐘 \\"quoted\\" \\\\ \\u2028")
retry.delay(50, 2)
print(json.dumps(began))
"""
DELAYED = range(10, 16)
WANTED = Counter([*range(50), 'Grüße, 世界 🐘 "quoted" \\ \u2028'])


def assert_each_ran_once_and_none_early(fleet: Fleet, wanted: Counter[Any], began: float) -> None:
    eventually(lambda: wanted - fleet.runs("note"), lambda missing: not missing, within=25)
    eventually(lambda: sum(fleet.depth()), lambda left: left == 0, within=25)
    assert fleet.runs("note") == wanted
    eventually(lambda: fleet.runs("retry"), {50: 3}, within=25)
    assert {job: at - began for job, at in fleet.notes("note") if job in DELAYED and at < began + 3} == {}
    assert fleet.dead_letters() == []


def test_what_stock_celery_sends_our_worker_runs_once(fleet: Fleet) -> None:
    fleet.start("-c", "4")

    began = fleet.ask(SENT, STOCK)

    assert_each_ran_once_and_none_early(fleet, WANTED, began)


def test_what_we_send_a_stock_worker_runs_once(fleet: Fleet) -> None:
    fleet.start("-c", "4", program=STOCK)

    began = fleet.ask(
        SENT + "publish_many(note, [[job] for job in range(100, 125)])\npublish_many(note, [{'job': 125}], countdown=2)", OURS
    )

    assert_each_ran_once_and_none_early(fleet, WANTED + Counter(range(100, 126)), began)


def test_a_chain_hops_from_stock_to_ours_and_back(fleet: Fleet) -> None:
    fleet.start("-c", "1", program=STOCK)
    fleet.start("-c", "1", "-Q", OTHER_QUEUE)

    pids = fleet.ask(
        "hops = [pid.si('stock'), pid.si('ours').set(queue='others'), pid.si('stock again')]\n"
        "last = chain(*hops).apply_async()\n"
        "third = last.get(timeout=20)\n"
        "print(json.dumps([last.parent.parent.get(), last.parent.get(), third]))",
        STOCK,
    )

    assert pids[0] == pids[2] != pids[1]
    assert fleet.runs("pid") == {"stock": 1, "ours": 1, "stock again": 1}


#: With a retry in most, because a retry is a new message made from what the run was told.
CALLS = """
describe.apply_async((1, 1), headers={"tenant": "blau", "flags": [], "nothing": None}, priority=7, queue="others")
marked = describe.si(2, 1)
marked.stamp(order="o-1")
marked.apply_async()
chain(describe.si(3, 1).set(headers={"tenant": "rot"}), describe.si(4)).apply_async(headers={"tenant": "gelb"})
group(describe.si(5, 1), describe.si(6)).apply_async(expires=50, priority=3)
chord([describe.si(7, 1), describe.si(8)], describe.si(9)).apply_async()
describe.apply_async((10, 1), time_limit=30, soft_time_limit=20, link=note.si(1), link_error=note_error.s())
describe.apply_async((11,), countdown=1, shadow="another name", ignore_result=True)
"""
RUNS = 11 + 6


def told(fleet: Fleet, program: str) -> list[dict[str, Any]]:
    """What the runs of a program's calls are told, by job and attempt; ids are numbered in the order of their appearance."""
    fleet.start("-c", "1", "-Q", f"{QUEUE},{OTHER_QUEUE}", program=program)
    fleet.ask(CALLS, program)
    eventually(lambda: len(fleet.notes("describe")), RUNS, within=20)
    rows = sorted((row for row, _ in fleet.notes("describe")), key=lambda row: (row["job"], row["retries"]))
    numbers: dict[str, int] = {}
    for row in rows:
        for name in ("id", "root_id", "parent_id", "correlation_id", "group"):
            row[name] = numbers.setdefault(row[name], len(numbers)) if row[name] else row[name]
        row["eta"] = bool(row["eta"])
    return rows


def test_a_run_is_told_the_same_as_under_stock_celery(fleet: Fleet) -> None:
    ours = told(fleet, OURS)
    fleet.workers.pop().stop()
    fleet.journal.unlink()

    assert ours == told(fleet, STOCK)


def test_a_thousand_bytes_stay_below_sixteen_hundred_on_the_wire(fleet: Fleet) -> None:
    fleet.ask("text = 'x' * 1000\nnote.delay(text)\ngroup([note.s(text)] * 2).apply_async()\npublish_many(note, [[text]] * 2)", OURS)

    sizes = [len(body.encode()) for body in fleet.bodies()]
    assert len(sizes) == 5
    assert max(sizes) <= 1600
