"""What Celery's documentation promises about tasks, canvas, limits and signals, kept by a plain program on our transport."""

import itertools
import json
from typing import Any

import pytest

from tests.integration.broker.fleet import OTHER_QUEUE, Fleet
from tests.support.eventually import eventually

_jobs = itertools.count(1000, 100)


@pytest.fixture
def job() -> int:
    """The first of a hundred numbers that no other test uses."""
    return next(_jobs)


def of(fleet: Fleet, what: str, job: int) -> list[Any]:
    """What was noted of the hundred jobs of a test."""
    return [noted for noted, _ in fleet.notes(what) if _number(noted) // 100 == job // 100]


def _number(noted: Any) -> int:
    if isinstance(noted, list):
        return _number(noted[0])
    if isinstance(noted, dict):
        return _number(noted["job"])
    return noted if isinstance(noted, int) else 0


def cause_of(fleet: Fleet, task: str, within: float = 20) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def look() -> dict[str, Any] | None:
        found.extend(json.loads(letter["MessageAttributes"]["cause"]["StringValue"]) for letter in fleet.dead_letters())
        return next((cause for cause in found if cause["task"] == task), None)

    cause = eventually(look, bool, within=within)
    assert cause is not None
    return cause


# -- canvas ---------------------------------------------------------------------------------------------------------------


def test_a_chain_hands_results_on_and_an_immutable_signature_takes_none(running: Fleet) -> None:
    assert running.ask("print(json.dumps(chain(add.s(1, 2), add.s(3), add.si(10, 20), add.s(4)).apply_async().get(timeout=20)))") == 34


@pytest.mark.long
def test_a_group_returns_results_in_order_and_nests(running: Fleet) -> None:
    code = "print(json.dumps(group([*(add.s(n, n) for n in range(23)), chain(add.s(1, 1), add.s(1))]).apply_async().get(timeout=20)))"

    assert running.ask(code) == [*(2 * number for number in range(23)), 3]


def test_a_chord_calls_its_body_once_with_every_result(running: Fleet, job: int) -> None:
    code = f"print(json.dumps(chord([add.s({job}, n) for n in range(13)], total.s()).apply_async().get(timeout=25)))"

    result = running.ask(code)

    assert result == 13 * job + sum(range(13))
    assert [noted for noted, _ in running.notes("total")].count(result) == 1


@pytest.mark.long
def test_a_chain_of_group_and_task_becomes_a_chord(running: Fleet) -> None:
    assert (
        running.ask("print(json.dumps(chain(add.s(1, 1), group(add.s(1), add.s(2)), total.s(), add.s(100)).apply_async().get(timeout=30)))")
        == 107
    )


@pytest.mark.long
def test_chunks_starmap_and_map(running: Fleet) -> None:
    code = (
        "chunked = add.chunks(zip(range(25), range(25)), 10).apply_async().get(timeout=20)\n"
        "starred = add.starmap([(1, 2), (3, 4)]).apply_async().get(timeout=20)\n"
        "mapped = note.map(['a', 'b']).apply_async().get(timeout=20)\n"
        "print(json.dumps([[len(part) for part in chunked], starred, mapped]))"
    )

    assert running.ask(code) == [[10, 10, 5], [3, 7], ["a", "b"]]


def test_a_task_replaces_itself_under_its_own_id(running: Fleet, job: int) -> None:
    assert running.ask(f"print(json.dumps(replace.delay({job}).get(timeout=20)))") == job
    assert (of(running, "replace", job), of(running, "note", job)) == ([job], [job])


def test_links_run_after_success_and_error_links_after_failure(running: Fleet, job: int) -> None:
    running.ask(
        f"add.apply_async(({job}, 0), link=note.s(), link_error=note_error.s())\n"
        f"fail.apply_async(({job + 1},), link=note.s(), link_error=note_error.s())"
    )

    eventually(lambda: of(running, "note_error", job), bool)
    eventually(lambda: of(running, "note", job), bool)
    assert of(running, "note", job) == [job]
    assert of(running, "note_error", job) == [[job + 1, f"job {job + 1} cannot be done"]]


# -- what a run is told ---------------------------------------------------------------------------------------------------


def test_headers_stamps_priority_and_queue_reach_the_run(running: Fleet, job: int) -> None:
    running.ask(
        "headers = {'tenant': 'blau', 'nothing': None, 'flags': [], 'amounts': {}}\n"
        f"describe.apply_async(({job},), headers=headers, priority=7, queue='others')\n"
        f"marked = describe.si({job + 1})\n"
        "marked.stamp(order='o-1')\n"
        "marked.apply_async()"
    )

    first, second = sorted(eventually(lambda: of(running, "describe", job), lambda found: len(found) == 2), key=_number)
    assert first["headers"] == {"tenant": "blau", "nothing": None, "flags": [], "amounts": {}}
    assert (first["routing_key"], first["priority"], first["redelivered"], first["parent_id"]) == (OTHER_QUEUE, 7, False, None)
    assert first["id"] == first["root_id"] == first["correlation_id"]
    assert second["stamps"] == {"order": "o-1"}
    assert second["stamped_headers"] == ["order"]


def test_the_parts_of_a_chain_know_their_parent_and_their_root(running: Fleet, job: int) -> None:
    running.ask(f"chain(describe.si({job}), describe.si({job + 1})).apply_async()")

    first, second = sorted(eventually(lambda: of(running, "describe", job), lambda found: len(found) == 2), key=_number)
    assert second["parent_id"] == second["root_id"] == first["id"] == first["root_id"]
    assert second["id"] == second["correlation_id"]


def test_the_signals_of_publishing_and_running_are_sent(running: Fleet, job: int) -> None:
    told = running.ask(
        "told = []\n"
        "@signals.before_task_publish.connect\n"
        "def before(sender, headers, body, routing_key, **_):\n"
        "    headers['tenant'] = 'from the signal'\n"
        "    told.append(['before', sender, routing_key, list(body[0])])\n"
        "@signals.after_task_publish.connect\n"
        "def after(sender, headers, **_):\n"
        "    told.append(['after', sender, headers['tenant']])\n"
        f"describe.delay({job})\n"
        f"publish_many(describe, [[{job + 1}]])\n"
        f"forget.delay({job + 2})\n"
        "print(json.dumps(told))"
    )

    assert [entry[:2] for entry in told] == [["before", "shop.describe"], ["after", "shop.describe"]] * 2 + [
        ["before", "shop.forget"],
        ["after", "shop.forget"],
    ]
    found = eventually(lambda: of(running, "describe", job), lambda found: len(found) == 2)
    assert {entry["headers"]["tenant"] for entry in found} == {"from the signal"}
    eventually(lambda: (of(running, "prerun", job), of(running, "forget", job)), ([job + 2], [job + 2]))


def test_an_ignored_result_is_not_stored_and_its_job_is_done(running: Fleet, job: int) -> None:
    task_id = running.ask(f"print(json.dumps(forget.delay({job}).id))")

    eventually(lambda: of(running, "forget", job), [job])
    eventually(lambda: sum(running.depth()), 0)
    assert not (running.directory / "results" / f"celery-task-meta-{task_id}").exists()


# -- when, and how often ------------------------------------------------------------------------------------------------------


def test_a_delay_in_sqs_own_words_is_kept(running: Fleet, job: int) -> None:
    began = running.ask(f"import time\nprint(time.time())\nnote.apply_async(({job},), DelaySeconds=2)")

    eventually(lambda: of(running, "note", job), [job])
    ((_, at),) = [noted for noted in running.notes("note") if noted[0] == job]
    assert at >= began + 2


def test_retries_run_to_success_and_hand_on_its_result(running: Fleet, job: int) -> None:
    assert running.ask(f"print(json.dumps(chain(retry.s({job}, 3), add.s(1)).apply_async().get(timeout=30)))") == job + 1
    assert of(running, "retry", job) == [job] * 4


@pytest.mark.long
def test_automatic_retries_back_off(running: Fleet, job: int) -> None:
    running.ask(f"back_off.delay({job})")

    eventually(lambda: of(running, "back_off", job), [[job, attempt] for attempt in range(3)], within=20)
    first, second, third = [at for noted, at in running.notes("back_off") if noted[0] == job]
    assert 1 <= second - first < 5
    assert 2 <= third - second < 6


@pytest.mark.long
def test_a_rate_limit_holds_and_loses_nothing(running: Fleet, job: int) -> None:
    running.ask(f"group(limited.si({job} + n) for n in range(12)).apply_async()")

    eventually(lambda: sorted(of(running, "limited", job)), list(range(job, job + 12)), within=20)
    starts = sorted(at for noted, at in running.notes("limited") if noted // 100 == job // 100)
    assert 11 / 4 * 0.8 <= starts[-1] - starts[0] < 11 / 4 * 2
    eventually(lambda: sum(running.depth()), 0)


def test_what_has_expired_is_not_run_and_is_recorded_as_revoked(running: Fleet, job: int) -> None:
    state = running.ask(
        f"late = note.apply_async(({job},), expires=0.5, countdown=2)\n"
        f"note.delay({job + 1})\n"
        "try:\n    late.get(timeout=20)\nexcept Exception as error:\n    print(json.dumps([late.state, type(error).__name__]))"
    )

    assert state == ["REVOKED", "TaskRevokedError"]
    eventually(lambda: sum(running.depth()), 0)
    assert of(running, "note", job) == [job + 1]


# -- failures and limits ------------------------------------------------------------------------------------------------------


def test_a_rejected_message_is_a_dead_letter(running: Fleet, job: int) -> None:
    running.ask(f"reject.delay({job})")

    cause = cause_of(running, "shop.reject")
    assert (cause["reason"], cause["message"], cause["attempts"]) == ("rejected", "not today", 1)
    assert of(running, "reject", job) == [job]


# -- prefork ------------------------------------------------------------------------------------------------------------------


def test_a_soft_limit_lets_a_run_end_well_and_a_hard_one_makes_a_dead_letter(fleet: Fleet) -> None:
    worker = fleet.start("-c", "2")
    fleet.ask("stop_in_time.delay(1)\nhang.delay(2)\nnote.delay(3)")

    cause = cause_of(fleet, "shop.hang")
    assert cause["reason"] == "failed"
    assert cause["exception"].endswith("TimeLimitExceeded")
    assert "1 s" in cause["message"]
    eventually(lambda: fleet.runs("stopped_in_time"), {1: 1})
    fleet.ask("group(note.si(job) for job in range(10, 14)).apply_async()")
    eventually(lambda: fleet.runs("note"), dict.fromkeys([3, *range(10, 14)], 1))
    eventually(lambda: sum(fleet.depth()), 0)
    assert (fleet.runs("hang"), fleet.runs("stop_in_time")) == ({2: 1}, {1: 1})
    assert worker.is_running()


@pytest.mark.long
def test_a_limit_of_the_call_kills_as_well(fleet: Fleet) -> None:
    fleet.start("-c", "1")
    fleet.ask("stop_in_time.apply_async((1,), time_limit=1, soft_time_limit=None)\nnote.delay(2)")

    cause = cause_of(fleet, "shop.stop_in_time")
    assert cause["exception"].endswith("TimeLimitExceeded")
    eventually(lambda: fleet.runs("note"), {2: 1})


@pytest.mark.long
def test_children_that_are_replaced_lose_and_double_nothing(fleet: Fleet) -> None:
    worker = fleet.start("-c", "2", "--max-tasks-per-child", "3", "--max-memory-per-child", "400000")
    fleet.ask("group(pid.si(job) for job in range(40)).apply_async()")

    eventually(lambda: len(fleet.runs("pid")), 40, within=30)
    eventually(lambda: sum(fleet.depth()), 0)
    assert set(fleet.runs("pid").values()) == {1}
    lines = [json.loads(line) for line in fleet.journal.read_text().splitlines()]
    assert len({process for *_, process in lines}) >= 10
    assert worker.is_running()


def test_children_publish_while_their_parent_polls(fleet: Fleet) -> None:
    fleet.start("-c", "4")
    fleet.ask("group(spread.si(job, 20) for job in range(10)).apply_async()")

    eventually(lambda: len(fleet.notes("note")), lambda found: found >= 200, within=40)
    eventually(lambda: sum(fleet.depth()), 0)
    assert sorted(noted for noted, _ in fleet.notes("note")) == [[job, part] for job in range(10) for part in range(20)]
    assert fleet.runs("spread") == dict.fromkeys(range(10), 1)
