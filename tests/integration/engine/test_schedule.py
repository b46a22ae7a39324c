"""The schedule in the database: what beat does in one turn, at a moment that the test chooses."""

import io
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import current_app
from celery.schedules import crontab
from django.core.management import call_command
from django.db import IntegrityError, connection, connections
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.tzcrontab import TzAwareCrontab

from app.config.schedule import SCHEDULE
from app.engine.outbox import background
from app.engine.outbox.models import OutboxMessage
from app.engine.schedules import firing, leadership, scheduler
from app.engine.schedules.declared import DECLARED, install
from app.engine.schedules.entries import due_times_of
from app.engine.schedules.errors import LeadershipLost
from app.engine.schedules.firing import task_id_of
from app.engine.schedules.leadership import Candidate
from app.engine.schedules.missed import Missed
from app.engine.schedules.models import EntryState, Leadership, Occurrence
from app.engine.schedules.occurrences import KEPT, prune
from app.engine.schedules.report import read_summary
from app.engine.schedules.scheduler import STANDBY_SECONDS, Scheduler
from app.topology.metrics import SCHEDULE_LAG
from tests.support.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TASK = "engine.debug_task"


class Clock:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published stays in the outbox, to be counted: SQS is at the process's edge."""
    monkeypatch.setattr(background.background_relay, "wake", lambda: None)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def beat(clock: Clock) -> Iterator[Scheduler]:
    """A beat where nothing is declared."""
    current_app.conf.beat_schedule = {}
    scheduler = Scheduler(app=current_app, now=clock)
    yield scheduler
    scheduler.close()
    current_app.conf.beat_schedule = SCHEDULE


def every(seconds: int, name: str = "tea", *, missed: Missed = Missed.ONE, since: datetime = NOON, **fields: Any) -> PeriodicTask:
    """An entry whose due times are decided up to ``since``."""
    schedule = IntervalSchedule.objects.create(every=seconds, period=IntervalSchedule.SECONDS)
    return _entry(name, missed, since, interval=schedule, **fields)


def daily(hour: int, minute: int, zone: str, since: datetime, name: str = "tea", *, missed: Missed = Missed.ONE) -> PeriodicTask:
    schedule = CrontabSchedule.objects.create(hour=hour, minute=minute, timezone=zone)
    return _entry(name, missed, since, crontab=schedule)


def _entry(name: str, missed: Missed, since: datetime, **fields: Any) -> PeriodicTask:
    entry = PeriodicTask.objects.create(**{"name": name, "task": TASK, "last_run_at": since} | fields)
    PeriodicTask.objects.filter(pk=entry.pk).update(date_changed=since)
    PeriodicTasks.objects.update(last_update=since)
    EntryState.objects.create(entry=entry, missed=missed, pattern=due_times_of(entry).pattern)
    return entry


def sent(name: str = "tea") -> list[datetime]:
    """The due times whose job is in the outbox, in order; one that is there twice is in the list twice."""
    ids = {task_id_of(name, due_at): due_at for due_at in Occurrence.objects.filter(schedule=name).values_list("due_at", flat=True)}
    return sorted(ids[task_id] for task_id in OutboxMessage.objects.filter(task=TASK).values_list("task_id", flat=True) if task_id in ids)


def occurrences(name: str = "tea") -> list[tuple[datetime, str, int]]:
    return list(Occurrence.objects.filter(schedule=name).order_by("due_at").values_list("due_at", "outcome", "left_out"))


def seconds(*numbers: int) -> list[datetime]:
    return [NOON + timedelta(seconds=number) for number in numbers]


# -- what the code declares ---------------------------------------------------------------------------------------------


def test_what_is_declared_no_longer_stops_and_what_an_operator_made_goes_on() -> None:
    every(60, "last year's", description=DECLARED)
    every(60, "an operator's")

    install(SCHEDULE)

    assert set(PeriodicTask.objects.values_list("name", flat=True)) == {"an operator's", *SCHEDULE}


def test_what_an_operator_has_switched_off_stays_off_when_beat_starts_again() -> None:
    install(SCHEDULE)
    PeriodicTask.objects.filter(name="payments.resume_unfinished").update(enabled=False)

    install(SCHEDULE)

    assert not PeriodicTask.objects.get(name="payments.resume_unfinished").enabled


def test_starting_again_writes_nothing_so_that_an_entry_that_never_ran_is_not_put_off_by_deployments() -> None:
    install(SCHEDULE)
    before = list(PeriodicTask.objects.order_by("pk").values())

    install(SCHEDULE)

    assert list(PeriodicTask.objects.order_by("pk").values()) == before


def test_a_declared_entry_says_its_zone_and_what_becomes_of_missed_due_times() -> None:
    schedule = TzAwareCrontab(hour=2, minute=30, tz=ZoneInfo("Europe/Berlin"))
    install({"tea": {"task": TASK, "schedule": schedule, "missed": Missed.ALL, "options": {"expire_seconds": 60}}})

    entry = PeriodicTask.objects.get(name="tea")
    assert (str(entry.crontab.timezone), entry.state.missed, entry.expire_seconds) == ("Europe/Berlin", "all", 60)

    install({"tea": {"task": TASK, "schedule": crontab(hour=3, minute=0)}})

    entry = PeriodicTask.objects.get(name="tea")
    assert (entry.crontab.hour, str(entry.crontab.timezone), entry.state.missed, entry.expire_seconds) == ("3", "UTC", "one", None)


def test_the_first_turn_of_the_leader_installs_what_is_declared() -> None:
    beat = Scheduler(app=current_app)
    assert not PeriodicTask.objects.exists()

    beat.tick()

    assert set(PeriodicTask.objects.values_list("name", flat=True)) == set(SCHEDULE)
    beat.close()


# -- due times ------------------------------------------------------------------------------------------------------------


def test_a_due_time_is_sent_once_with_an_id_and_a_header_that_name_it(beat: Scheduler, clock: Clock) -> None:
    entry = every(10, kwargs='{"seconds": 0}')
    clock.moment = NOON + timedelta(seconds=10.7)

    assert beat.tick() <= 2
    beat.tick()

    assert occurrences() == [(NOON + timedelta(seconds=10), "sent", 0)]
    message = OutboxMessage.objects.get()
    assert message.task_id == task_id_of("tea", NOON + timedelta(seconds=10)) == Occurrence.objects.get().task_id
    assert '"due_at": "2026-06-01T12:00:10+00:00"' in message.options
    assert '"periodic_task_name": "tea"' in message.options
    entry.refresh_from_db()
    assert (entry.last_run_at, entry.total_run_count) == (NOON + timedelta(seconds=10), 1)


def test_beat_sleeps_until_the_next_due_time(beat: Scheduler, clock: Clock) -> None:
    every(10)
    clock.moment = NOON + timedelta(seconds=8.5)
    beat.tick()

    assert beat.tick() == 1.5


def test_a_beat_that_starts_again_goes_on_where_the_last_one_was_killed(beat: Scheduler, clock: Clock) -> None:
    every(10)
    clock.moment = NOON + timedelta(seconds=10)
    beat.tick()
    Leadership.objects.update(held_until=NOON - timedelta(days=400))

    clock.moment = NOON + timedelta(seconds=15)
    Scheduler(app=current_app, now=clock).tick()

    assert sent() == seconds(10)


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (Missed.SKIP, [(NOON + timedelta(hours=3), "skipped", 2)]),
        (Missed.ONE, [(NOON + timedelta(hours=3), "sent", 2)]),
        (Missed.ALL, [(NOON + timedelta(hours=number), "sent", 0) for number in (1, 2, 3)]),
    ],
)
def test_what_was_missed_is_treated_by_the_entry_s_policy_and_shown(beat: Scheduler, clock: Clock, missed: Missed, expected: Any) -> None:
    every(3600, missed=missed)
    clock.moment = NOON + timedelta(hours=3, minutes=30)

    for _ in range(3):
        beat.tick()

    assert occurrences() == expected
    assert sent() == [due_at for due_at, outcome, _ in expected if outcome == "sent"]

    clock.moment = NOON + timedelta(hours=4)
    beat.tick()
    assert occurrences()[-1] == (NOON + timedelta(hours=4), "sent", 0)


def test_a_daily_job_that_was_missed_hours_ago_is_sent_at_once(beat: Scheduler, clock: Clock) -> None:
    daily(3, 0, "UTC", since=NOON - timedelta(hours=12))
    clock.moment = NOON - timedelta(hours=1)

    beat.tick()

    assert sent() == [NOON - timedelta(hours=9)]


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), ["2026-03-29T01:30", "2026-03-30T00:30"]),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ],
    ids=["spring", "autumn"],
)
def test_half_past_two_comes_once_a_day_when_the_clocks_are_changed(
    beat: Scheduler, clock: Clock, begin: datetime, expected: list[str]
) -> None:
    daily(2, 30, "Europe/Berlin", since=begin, missed=Missed.ALL)

    for minute in range(0, 2 * 24 * 60, 30):
        clock.moment = begin + timedelta(minutes=minute)
        beat.tick()

    assert [due_at.strftime("%Y-%m-%dT%H:%M") for due_at in sent()] == expected


def test_a_moment_is_sent_once_and_its_entry_switched_off(beat: Scheduler, clock: Clock) -> None:
    schedule = ClockedSchedule.objects.create(clocked_time=NOON)
    entry = PeriodicTask.objects.create(name="tea", task=TASK, clocked=schedule, one_off=True)
    clock.moment = NOON + timedelta(hours=1)

    beat.tick()
    entry.refresh_from_db()
    assert not entry.enabled
    PeriodicTask.objects.get(name="tea").save()
    entry.enabled = True
    entry.save()
    beat.tick()

    assert sent() == [NOON]


def test_a_moment_that_is_skipped_is_over(beat: Scheduler, clock: Clock) -> None:
    schedule = ClockedSchedule.objects.create(clocked_time=NOON)
    entry = PeriodicTask.objects.create(name="tea", task=TASK, clocked=schedule, one_off=True)
    EntryState.objects.create(entry=entry, missed=Missed.SKIP)
    clock.moment = NOON + timedelta(hours=1)

    beat.tick()

    entry.refresh_from_db()
    assert (occurrences(), entry.enabled) == ([(NOON, "skipped", 0)], False)


def test_an_entry_ends_with_its_last_due_time_before_it_expires(beat: Scheduler, clock: Clock) -> None:
    entry = every(10, expires=NOON + timedelta(seconds=25), missed=Missed.ALL)

    for second in (10, 40):
        clock.moment = NOON + timedelta(seconds=second)
        beat.tick()

    entry.refresh_from_db()
    assert (sent(), entry.enabled) == (seconds(10, 20), False)


def test_an_entry_is_switched_off_when_it_expires_although_nothing_is_due_then(beat: Scheduler, clock: Clock) -> None:
    entry = every(3600, expires=NOON + timedelta(seconds=25))
    beat.tick()
    clock.moment = NOON + timedelta(seconds=26)

    beat.tick()

    entry.refresh_from_db()
    assert (sent(), entry.enabled) == ([], False)


def test_an_entry_that_starts_later_is_first_due_then(beat: Scheduler, clock: Clock) -> None:
    every(60, start_time=NOON + timedelta(seconds=30))

    for second in (29, 31, 89, 91):
        clock.moment = NOON + timedelta(seconds=second)
        beat.tick()

    assert sent() == seconds(30, 90)


# -- edits -----------------------------------------------------------------------------------------------------------------


def edited(clock: Clock) -> None:
    """As django-celery-beat's signals say it."""
    PeriodicTasks.objects.update(last_update=clock.moment)


def test_due_times_that_an_entry_had_not_yet_before_it_was_edited_are_not_missed(beat: Scheduler, clock: Clock) -> None:
    entry = every(3600, missed=Missed.ALL)
    beat.tick()
    clock.moment = NOON + timedelta(minutes=30)

    IntervalSchedule.objects.filter(pk=entry.interval_id).update(every=60)
    edited(clock)
    beat.tick()
    assert sent() == []

    clock.moment = NOON + timedelta(minutes=31)
    beat.tick()
    assert sent() == [NOON + timedelta(minutes=31)]


def test_due_times_while_an_entry_was_off_are_not_missed(beat: Scheduler, clock: Clock) -> None:
    entry = every(60, missed=Missed.ALL)
    for minute, enabled in ((1, False), (30, True)):
        clock.moment = NOON + timedelta(minutes=minute, seconds=30)
        beat.tick()
        PeriodicTask.objects.filter(pk=entry.pk).update(enabled=enabled)  # as the admin's "toggle activity" does
        edited(clock)
        beat.tick()

    clock.moment = NOON + timedelta(minutes=31, seconds=30)
    beat.tick()

    assert sent() == [NOON + timedelta(minutes=1), NOON + timedelta(minutes=31, seconds=30)]


def test_an_entry_that_is_deleted_or_switched_off_between_two_looks_is_not_sent(beat: Scheduler, clock: Clock) -> None:
    off, gone = every(10, "off"), every(20, "gone")
    beat.tick()

    PeriodicTask.objects.filter(pk=off.pk).update(enabled=False)  # tells nobody
    clock.moment = NOON + timedelta(seconds=10)
    beat.tick()
    EntryState.objects.filter(entry=gone).delete()
    PeriodicTask.objects.filter(pk=gone.pk)._raw_delete(using="default")  # neither does this
    clock.moment = NOON + timedelta(seconds=20)
    beat.tick()

    assert not Occurrence.objects.exists()


def test_an_entry_that_was_wound_back_sends_nothing_again(beat: Scheduler, clock: Clock) -> None:
    entry = every(10, missed=Missed.ALL)
    clock.moment = NOON + timedelta(seconds=20)
    beat.tick()
    PeriodicTask.objects.filter(pk=entry.pk).update(last_run_at=NOON)
    edited(clock)

    beat.tick()
    assert sent() == seconds(10, 20)

    clock.moment = NOON + timedelta(seconds=30)
    beat.tick()
    assert sent() == seconds(10, 20, 30)


# -- what goes wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kwargs": '{"sugar": 2}'}, "TypeError: .*sugar"),
        ({"task": "tea.brew"}, "tea.brew"),
        ({"args": "[1"}, "Error: "),
    ],
    ids=["arguments", "task", "json"],
)
def test_what_cannot_be_published_is_refused_with_its_reason_and_holds_up_nobody(
    beat: Scheduler, clock: Clock, fields: dict[str, Any], reason: str
) -> None:
    every(10, "bad", **fields)
    every(10, "good")
    clock.moment = NOON + timedelta(seconds=10)

    beat.tick()

    refused = Occurrence.objects.get(schedule="bad")
    assert refused.outcome == "refused"
    assert re.search(reason, refused.reason)
    assert sent("good") == seconds(10)


def test_an_entry_that_cannot_be_read_holds_up_nobody(beat: Scheduler, clock: Clock) -> None:
    entry = every(10, "bad")
    every(10, "good")
    IntervalSchedule.objects.filter(pk=entry.interval_id).update(every=0)
    clock.moment = NOON + timedelta(seconds=10)

    beat.tick()

    assert sent("good") == seconds(10)


def test_an_entry_whose_rows_the_database_refuses_holds_up_nobody(beat: Scheduler, clock: Clock) -> None:
    every(10, "bad")
    every(10, "good")
    clock.moment = NOON + timedelta(seconds=10)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE schedules_occurrence ADD CONSTRAINT no_bad_ones CHECK (schedule <> 'bad')")
        try:
            beat.tick()
        finally:
            cursor.execute("ALTER TABLE schedules_occurrence DROP CONSTRAINT no_bad_ones")
    assert sent("good") == seconds(10)

    clock.moment = NOON + timedelta(seconds=71)
    beat.tick()
    assert sent("bad") == seconds(70)


def test_the_database_itself_refuses_to_record_a_due_time_twice() -> None:
    once = {"schedule": "tea", "due_at": NOON, "outcome": "sent", "fence": 1}
    Occurrence.objects.create(**once)

    with pytest.raises(IntegrityError):
        Occurrence.objects.create(**once | {"fence": 2})


def test_what_was_decided_long_ago_is_forgotten_and_not_sent_again(beat: Scheduler, clock: Clock) -> None:
    every(3600)
    clock.moment = NOON + timedelta(hours=1)
    beat.tick()
    Occurrence.objects.update(decided_at=NOON)

    assert prune(NOON + KEPT) == 0
    assert prune(NOON + KEPT + timedelta(seconds=1)) == 1
    beat.tick()
    assert OutboxMessage.objects.count() == 1


# -- one beat acts ---------------------------------------------------------------------------------------------------------


def test_of_two_beats_the_first_acts_and_the_second_takes_over_at_once_when_it_leaves(beat: Scheduler, clock: Clock) -> None:
    every(10)
    second = Scheduler(app=current_app, now=clock)
    beat.tick()
    clock.moment = NOON + timedelta(seconds=10)

    assert second.tick() == STANDBY_SECONDS
    assert sent() == []
    beat.close()
    second.tick()

    assert sent() == seconds(10)
    assert Leadership.objects.get().fence == 2


def test_a_leader_that_was_stopped_while_another_took_over_writes_nothing(clock: Clock) -> None:
    entry = every(10)
    first, second = Candidate("first"), Candidate("second")
    assert first.lead()
    assert not second.lead()
    Leadership.objects.update(held_until=NOON - timedelta(days=400))  # ten seconds of silence
    assert second.lead()

    with pytest.raises(LeadershipLost):
        firing.settle(current_app, first, entry.pk, now=NOON + timedelta(seconds=10))

    assert not Occurrence.objects.exists()
    assert not OutboxMessage.objects.exists()
    assert not first.lead()


def test_two_that_believe_to_lead_at_the_same_due_time_send_it_once(clock: Clock) -> None:
    entry = every(10)
    twins = [Candidate("one"), Candidate("the other")]
    assert twins[0].lead()
    twins[1].fence = twins[0].fence

    def settle(candidate: Candidate) -> None:
        firing.settle(current_app, candidate, entry.pk, now=NOON + timedelta(seconds=10))
        connections.close_all()

    threads = [threading.Thread(target=settle, args=[candidate]) for candidate in twins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sent() == seconds(10)


def test_a_leader_that_is_stopped_in_the_middle_of_a_transaction_holds_the_others_up_for_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leadership, "LONGEST_SILENCE_SECONDS", 2)
    stopped, second = Candidate("stopped"), Candidate("second")
    assert stopped.lead()
    Leadership.objects.update(held_until=NOON - timedelta(days=400))
    is_acting, may_end = threading.Event(), threading.Event()
    outcome: list[BaseException] = []

    def act() -> None:
        try:
            with stopped.acting():
                is_acting.set()
                may_end.wait(30)
                every(10, "too late")
        except Exception as error:  # noqa: BLE001 — the test looks at it
            outcome.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    thread.start()
    assert is_acting.wait(10)
    assert not second.lead()

    eventually(second.lead)
    may_end.set()
    thread.join(20)

    assert len(outcome) == 1
    assert not PeriodicTask.objects.exists()


def test_a_beat_whose_database_is_away_waits_and_goes_on(beat: Scheduler, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    every(10)
    beat.tick()
    clock.moment = NOON + timedelta(seconds=10)
    port = connection.settings_dict["PORT"]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    assert beat.tick() == STANDBY_SECONDS
    beat.close()

    monkeypatch.setitem(connection.settings_dict, "PORT", port)
    eventually(lambda: beat.tick() and sent(), seconds(10), within=15)


# -- what a person sees --------------------------------------------------------------------------------------------------


def lags(capsys: pytest.CaptureFixture[str]) -> list[float]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if SCHEDULE_LAG.name in line]
    return [line[SCHEDULE_LAG.name][0] for line in lines]


def test_the_leader_tells_by_how_much_the_schedule_was_behind_and_another_beat_is_silent(
    beat: Scheduler, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every(60)
    other = Scheduler(app=current_app, now=clock)
    clock.moment = NOON + timedelta(seconds=90)

    beat.tick()
    other.tick()
    assert lags(capsys) == [30]

    monkeypatch.setattr(scheduler, "LAG_EVERY_SECONDS", 0)
    beat.tick()  # too early to tell again
    assert lags(capsys) == []

    monkeypatch.setattr(beat, "_lag_due_at", 0.0)
    beat.tick()
    assert lags(capsys) == [0]
    other.close()


def listed(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("schedule", *arguments, stdout=out)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_the_command_lists_each_entry_and_who_leads(beat: Scheduler, clock: Clock) -> None:
    assert listed()[0] == "No beat leads: nothing is sent."
    every(3600)
    every(3600, "bad", kwargs='{"sugar": 2}', missed=Missed.SKIP)
    every(60, "off", enabled=False)
    clock.moment = NOON + timedelta(hours=3)
    beat.tick()

    lines = listed()

    assert re.fullmatch(r"\S+:\d+ leads since 20\S+ \S+ UTC \(fence 1\)\.", lines[0])
    assert lines[2] == "bad skip 2026-06-01 15:00:00 refused 2026-06-01 16:00:00 2 engine.debug_task"
    assert lines[3].startswith("TypeError: ")
    assert lines[4] == "off one never off 0 engine.debug_task"
    assert lines[5] == "tea one 2026-06-01 15:00:00 sent 2026-06-01 16:00:00 2 engine.debug_task"


def test_the_command_lists_the_occurrences_of_an_entry_the_latest_first(beat: Scheduler, clock: Clock) -> None:
    every(3600, missed=Missed.ALL)
    clock.moment = NOON + timedelta(hours=3)
    beat.tick()

    lines = listed("tea", "--limit", "2")

    assert [line.split(" sent ")[0] for line in lines[1:]] == ["2026-06-01 15:00:00", "2026-06-01 14:00:00"]


def test_the_console_shows_the_leader_and_what_was_missed_and_refused_lately(admin_client: Client, beat: Scheduler, clock: Clock) -> None:
    every(3600, since=NOON - timedelta(hours=5))
    every(3600, "late", missed=Missed.SKIP, since=NOON - timedelta(minutes=90))
    every(3600, "bad", kwargs='{"sugar": 2}', since=NOON - timedelta(hours=1))
    assert b"No beat leads: nothing that is scheduled is sent." in admin_client.get("/console/").content
    beat.tick()

    page = admin_client.get("/console/").content

    assert b"No beat leads" not in page
    assert gethostname().encode() in page
    summary = read_summary(timezone.now() - timedelta(days=1))
    assert (summary.entries, summary.missed, summary.refused) == (3, 5, 1)
    assert read_summary(timezone.now() + timedelta(days=1)).missed == 0


def test_an_operator_gives_an_entry_its_policy_in_the_admin_and_sees_what_was_sent(
    admin_client: Client, beat: Scheduler, clock: Clock
) -> None:
    schedule = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    form = {
        "name": "tea",
        "task": TASK,
        "regtask": "",
        "interval": schedule.pk,
        "enabled": "on",
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
    }
    inline = {"state-TOTAL_FORMS": 1, "state-INITIAL_FORMS": 0, "state-0-missed": "all"}
    answer = admin_client.post("/admin/django_celery_beat/periodictask/add/", form | inline)
    assert answer.status_code == 302, answer.content.decode()
    clock.moment = timezone.now()
    beat.tick()
    clock.moment += timedelta(hours=2, minutes=30)
    beat.tick()

    assert len(sent()) == 2
    assert b"CELERY_BEAT_SCHEDULER" not in admin_client.get("/admin/django_celery_beat/periodictask/").content
    assert admin_client.get("/admin/schedules/occurrence/").content.count(b">tea<") >= 2
    assert gethostname().encode() in admin_client.get("/admin/schedules/leadership/").content


_RETRIES_ONCE = """
from celery import shared_task
from app.config.celery import celery_app

@shared_task(name="engine.which", bind=True)
def which(self):
    if not self.request.retries:
        raise self.retry(countdown=1)
    print("WHICH", self.request.id, self.request.headers["due_at"], flush=True)

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "1", "--loglevel", "INFO"])
"""
_LONG_DUE = """
from datetime import UTC, datetime
from django_celery_beat.models import ClockedSchedule, PeriodicTask
moment = ClockedSchedule.objects.create(clocked_time=datetime(2026, 1, 2, 3, tzinfo=UTC))
PeriodicTask.objects.create(name="which", task="engine.which", clocked=moment, one_off=True)
"""


def test_a_job_knows_which_due_time_it_is_for_also_when_it_is_tried_again(stack: Any) -> None:
    made = stack.python(_LONG_DUE)
    assert made.returncode == 0, made.stderr
    worker = stack.start_program("worker-default", _RETRIES_ONCE)
    stack.start("beat")

    line = eventually(lambda: re.search(r"WHICH (\S+) (\S+)", worker.log.read_text()), within=60)

    assert line is not None
    due_at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert line.groups() == (task_id_of("which", due_at), due_at.isoformat())


def test_a_leader_that_has_not_renewed_for_its_term_does_not_lead_for_certain() -> None:
    now = [1000.0]
    candidate = Candidate("one", clock=lambda: now[0])
    told = [candidate.is_leading]

    candidate.lead()
    told.append(candidate.is_leading)
    now[0] += leadership.TERM.total_seconds()
    told.append(candidate.is_leading)
    candidate.lead()
    told.append(candidate.is_leading)
    candidate.leave()
    told.append(candidate.is_leading)

    assert told == [False, True, False, True, False]
