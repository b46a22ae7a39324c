"""Several beats, one acts: each due time is published once, whoever is killed or stopped meanwhile."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.engine.schedules.leadership import LONGEST_SILENCE_SECONDS, TERM
from tests.support.eventually import eventually
from tests.support.stack import Service, Stack

#: The term of a dead leader, the silence that PostgreSQL allows a stopped one, and a turn of those who wait; doubled for a loaded machine.
TAKEN_OVER_WITHIN = 2 * (TERM.total_seconds() + LONGEST_SILENCE_SECONDS + 1)

#: Counts what is published, also what was sent since and has left the outbox.
_COUNT = """
CREATE TABLE published (task_id text);
CREATE FUNCTION count_published() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO published VALUES (NEW.task_id); RETURN NULL; END $$;
CREATE TRIGGER count_published AFTER INSERT ON outbox_outboxmessage FOR EACH ROW EXECUTE FUNCTION count_published();
"""
_ENTRY = """
from datetime import datetime
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from app.engine.schedules.models import EntryState
schedule = IntervalSchedule.objects.create(every={every}, period="seconds")
entry = PeriodicTask.objects.create(
    name={name!r}, task="engine.debug_task", interval=schedule, last_run_at=datetime.fromisoformat({since!r})
)
EntryState.objects.create(entry=entry, missed={missed!r}, pattern="every {every} s")
"""


def add_entry(stack: Stack, name: str, *, every: int, missed: str = "one", due_in: float = 0) -> None:
    now = stack.query("SELECT date_trunc('second', now())")[0][0]
    since = (now + timedelta(seconds=due_in - every)).isoformat()
    done = stack.python(_ENTRY.format(name=name, every=every, missed=missed, since=since))
    assert done.returncode == 0, done.stderr


@pytest.fixture
def beats(stack: Stack) -> Stack:
    stack.query(_COUNT)
    add_entry(stack, "each", every=1, missed="all")
    add_entry(stack, "latest", every=2, missed="one")
    return stack


def fence(stack: Stack) -> int:
    rows = stack.query("SELECT fence FROM schedules_leadership WHERE leader <> ''")
    return int(rows[0][0]) if rows else 0


def leader(stack: Stack) -> Service:
    """The beat that leads, as soon as one does."""

    def find() -> Service | None:
        rows = stack.query("SELECT leader FROM schedules_leadership WHERE held_until > now()")
        running = {service.process.pid: service for service in stack.services if service.is_running}
        return running.get(int(rows[0][0].rpartition(":")[2] or 0)) if rows else None

    found = eventually(find, within=TAKEN_OVER_WITHIN)
    assert found is not None
    return found


def acted_under(stack: Stack, number: int) -> bool:
    return bool(stack.query("SELECT 1 FROM schedules_occurrence WHERE fence > %s LIMIT 1", number))


def await_takeover(stack: Stack, before: int) -> float:
    begin = time.monotonic()
    eventually(lambda: acted_under(stack, before), within=TAKEN_OVER_WITHIN)
    return time.monotonic() - begin


def await_phase(chance: random.Random) -> None:
    """A moment somewhere around a due time: they are whole seconds."""
    phase = chance.choice([0.93, 0.97, 0.0, 0.02, 0.05, 0.5])
    eventually(lambda: (time.time() - phase) % 1 < 0.04, within=60)


def account(stack: Stack, name: str, every: int) -> int:
    """Fail unless each due time was published once or counted as left out; return how many there were."""
    rows: list[tuple[datetime, str, int, str]] = stack.query(
        "SELECT due_at, outcome, left_out, task_id FROM schedules_occurrence WHERE schedule = %s ORDER BY due_at", name
    )
    published = dict(stack.query("SELECT task_id, count(*) FROM published GROUP BY task_id"))
    assert {outcome for _, outcome, _, _ in rows} == {"sent"}
    assert {published.get(task_id, 0) for _, _, _, task_id in rows} == {1}, "each due time is published once"
    first = rows[0][0] - timedelta(seconds=every * rows[0][2])
    decided = 0
    for due_at, _, left_out, _ in rows:
        decided += left_out + 1
        assert due_at == first + timedelta(seconds=every) * (decided - 1), "no due time is forgotten"
    return decided


def run_rounds(stack: Stack, *, beats: int, rounds: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 — a test that can be run again
    stack.start(*["beat"] * beats)
    for number in range(rounds):
        victim, before = leader(stack), fence(stack)
        await_phase(chance)
        if number % 2:
            victim.process.send_signal(signal.SIGSTOP)
            await_takeover(stack, before)
            await_phase(chance)
            victim.process.send_signal(signal.SIGCONT)
        else:
            victim.kill()
            await_takeover(stack, before)
            stack.start("beat")
    last = leader(stack)
    assert all(beat.stop() == 0 for beat in stack.services if beat.is_running and beat is not last)
    assert last.stop() == 0

    assert account(stack, "each", 1) > 10 * rounds
    assert account(stack, "latest", 2) > 5 * rounds
    assert {each for (each,) in stack.query("SELECT DISTINCT left_out FROM schedules_occurrence WHERE schedule = 'each'")} == {0}
    total = stack.query("SELECT (SELECT count(*) FROM published), (SELECT count(*) FROM schedules_occurrence)")
    assert total[0][0] == total[0][1], "nothing is published that is no occurrence"


def test_two_beats_of_which_the_leader_is_killed_and_stopped_send_each_due_time_once(beats: Stack) -> None:
    run_rounds(beats, beats=2, rounds=2, seed=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [2, 3])
def test_twenty_rounds_of_killing_and_stopping_the_leader_send_each_due_time_once(beats: Stack, count: int) -> None:
    run_rounds(beats, beats=count, rounds=20, seed=count)


@pytest.mark.long
def test_a_beat_that_is_killed_seconds_after_it_sent_and_started_again_sends_nothing_twice(beats: Stack) -> None:
    add_entry(beats, "hourly", every=3600, due_in=1)
    (beat,) = beats.start("beat")
    eventually(lambda: beats.query("SELECT 1 FROM schedules_occurrence WHERE schedule = 'hourly'"), [(1,)], within=30)
    before = fence(beats)

    eventually(
        lambda: beats.query("SELECT decided_at < now() - interval '5 seconds' FROM schedules_occurrence WHERE schedule = 'hourly'"),
        [(True,)],
    )
    beat.kill()
    beats.start("beat")
    await_takeover(beats, before)

    assert account(beats, "hourly", 3600) == 1


def test_a_leader_that_is_told_to_stop_is_followed_at_once(beats: Stack) -> None:
    beats.start("beat", "beat")
    first, before = leader(beats), fence(beats)
    eventually(lambda: acted_under(beats, before - 1))

    assert first.stop() == 0
    assert await_takeover(beats, before) < TERM.total_seconds()

    assert leader(beats).stop() == 0
    account(beats, "each", 1)


def test_a_leader_that_is_told_to_stop_in_the_middle_of_a_turn_rolls_it_back_and_leaves(beats: Stack) -> None:
    (beat,) = beats.start("beat")
    before = fence(beats)
    eventually(lambda: acted_under(beats, before - 1))
    with psycopg.connect(beats.database) as other:
        other.execute("SELECT 1 FROM django_celery_beat_periodictask FOR UPDATE")
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1"
        eventually(lambda: beats.query(waits), [(1,)])

        assert beat.stop() == 0
        assert fence(beats) == 0, "nobody leads"

    beats.start("beat")
    await_takeover(beats, before)
    account(beats, "each", 1)


def test_an_entry_that_is_made_while_beat_runs_is_seen_within_five_seconds(beats: Stack) -> None:
    beats.start("beat")
    leader(beats)

    add_entry(beats, "new", every=3600)

    seen = "SELECT o.decided_at - p.date_changed FROM schedules_occurrence o JOIN django_celery_beat_periodictask p ON p.name = o.schedule"
    rows = eventually(lambda: beats.query(seen + " WHERE o.schedule = 'new'"))
    assert rows[0][0] < timedelta(seconds=5)


def test_beats_wait_for_a_database_that_is_away_and_go_on_where_they_were(beats: Stack, postgres: Any) -> None:
    leading, waiting = beats.start("beat", "beat")
    before = fence(beats)
    eventually(lambda: acted_under(beats, before - 1))

    with away(beats, postgres):
        (late,) = beats.start("beat")
        for each in (leading, waiting, late):
            eventually(lambda each=each: says(each, "beat waits for the database"), within=30)  # type: ignore[misc]
    for each in (leading, waiting, late):
        eventually(lambda each=each: says(each, "beat goes on"), within=30)  # type: ignore[misc]
    count = beats.query("SELECT count(*) FROM schedules_occurrence")[0][0]
    eventually(lambda: beats.query("SELECT count(*) FROM schedules_occurrence")[0][0] > count + 5, within=TAKEN_OVER_WITHIN)

    assert [each.stop() for each in (leading, waiting, late)] == [0, 0, 0]
    account(beats, "each", 1)


def says(beat: Service, message: str) -> bool:
    return any(line.get("message") == message for line in beat.lines())


@contextmanager
def away(stack: Stack, postgres: Any) -> Iterator[None]:
    """No connection to the stack's database, old or new."""
    name = stack.environment["DATABASE_NAME"]
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")  # type: ignore[arg-type,unused-ignore]
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")  # type: ignore[arg-type,unused-ignore]
