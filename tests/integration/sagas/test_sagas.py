"""Sagas move act by act in a real PostgreSQL. The queue is the outbox's table, and a worker is a call."""

import json
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import shared_task
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from app.engine.errors import PermanentError, TransientError
from app.engine.outbox.background import background_relay
from app.engine.outbox.errors import NotInTransaction
from app.engine.outbox.models import OutboxMessage
from app.engine.sagas import conductor, definition
from app.engine.sagas.definition import SagaDefinition, Step
from app.engine.sagas.errors import ActIsOver, Refused, SagaNotStuck, SagaUnknown
from app.engine.sagas.models import Act, Saga
from app.engine.sagas.reference import Reference
from app.engine.sagas.repair import Job, forget_old, repair
from app.engine.sagas.running import run_act
from app.engine.tasks import repair_sagas
from app.topology.metrics import SAGAS_STUCK

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """Nothing that the code catches, like a SIGKILL."""


@shared_task(name="engine.saga_step")
def saga_step(*, subject: str, what: str = "") -> None:
    """Never run: the tests' worker does what it is told."""


@shared_task(name="engine.saga_undo")
def saga_undo(*, subject: str, what: str = "") -> None:
    """Never run."""


class World:
    """Declared steps, the messages under way, and what is to happen when one is worked on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._known: dict[str, SagaDefinition] = {}
        monkeypatch.setattr(definition, "_declared", self._known)
        self.done: list[str] = []
        self.fates: dict[str, list[BaseException]] = {}
        self.atomic = False
        self.retried: list[float] = []

    def declare(self, *steps: Any, **options: Any) -> None:
        definition.declare(SagaDefinition(name="tests.saga", steps=steps, arguments=lambda subject: {"subject": subject}, **options))

    def start(self, subject: str = "s") -> Saga:
        with transaction.atomic():
            return conductor.start("tests.saga", subject=subject)

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(row.options)["headers"] for row in OutboxMessage.objects.order_by("id")]

    def waiting(self) -> list[str]:
        """Acts whose message is under way."""
        return [self._label(Act.objects.get(pk=headers["saga_act"]["act"])) for headers in self.messages()]

    def work(self, *, keeps: bool = False) -> Any:
        """Take the oldest message, and delete it unless it ``keeps`` it, as a worker does that is killed before it can."""
        row = OutboxMessage.objects.order_by("id")[0]
        told = json.loads(row.options)["headers"]["saga_act"]
        if not keeps:
            row.delete()
        return self.run(Reference(act=told["act"], publication=told["publication"]))

    def run(self, reference: Reference) -> Any:
        label = self._label(Act.objects.get(pk=reference.act))

        def act() -> str:
            fates = self.fates.get(label, [])
            self.done.append(label)
            if fates:
                raise fates.pop(0)
            return f"did {label}"

        return run_act(SimpleNamespace(atomic_step=self.atomic, retry=self._retry), reference, act, is_excused=lambda _: False)

    def work_all(self) -> None:
        while OutboxMessage.objects.exists():
            try:
                self.work()
            except (PermanentError, ValueError):
                continue

    def _retry(self, *, exc: Exception, countdown: float, max_retries: int) -> None:
        from celery.exceptions import Retry

        self.retried.append(countdown)
        raise Retry(exc=exc, when=countdown)

    @staticmethod
    def _label(act: Act) -> str:
        return f"undo {act.name}" if act.is_compensation else act.name


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(background_relay, "wake", lambda: None)
    world = World(monkeypatch)
    world.declare(*FOUR)
    return world


def step(name: str, *, undo: bool = True, task: str = "engine.saga_step") -> Step:
    return Step(name=name, task=task, compensation="engine.saga_undo" if undo else "")


FOUR = (step("one"), step("two"), (step("left"), step("right")), step("last", undo=False))


def state(saga: Saga) -> str:
    saga.refresh_from_db()
    return str(saga.state)


def acts(saga: Saga) -> dict[str, str]:
    return {World._label(act): act.state for act in saga.acts.order_by("id")}


def test_steps_are_published_in_order_and_those_of_a_group_side_by_side(world: World) -> None:
    saga = world.start()

    seen = []
    while waiting := world.waiting():
        seen.append(waiting)
        world.work()
    assert seen == [["one"], ["two"], ["left", "right"], ["right"], ["last"]]
    assert (state(saga), set(acts(saga).values())) == ("done", {"done"})
    assert saga.acts.get(name="two").result == "did two"
    assert saga.acts.get(name="two").attempts == 1


def test_a_saga_is_started_once_for_a_subject_and_only_in_a_transaction(world: World) -> None:
    assert world.start().pk == world.start().pk
    assert len(world.messages()) == 1
    with pytest.raises(NotInTransaction):
        conductor.start("tests.saga", subject="other")
    with pytest.raises(SagaUnknown, match=r"declared are: tests\.saga"), transaction.atomic():
        conductor.start("tests.sage", subject="s")


def test_a_start_that_is_rolled_back_never_was(world: World) -> None:
    def start_and_fail() -> None:
        with transaction.atomic():
            conductor.start("tests.saga", subject="s")
            raise KeyError

    with pytest.raises(KeyError):
        start_and_fail()

    assert (Saga.objects.count(), world.messages()) == (0, [])


@pytest.mark.parametrize("atomic", [False, True])
def test_a_step_that_fails_for_good_has_the_others_undone_in_reverse_order(world: World, atomic: bool) -> None:
    world.atomic = atomic
    world.fates["last"] = [PermanentError("no")]
    saga = world.start()

    world.work_all()

    undone = [label for label in world.done if label.startswith("undo")]
    assert sorted(undone[:2]) == ["undo left", "undo right"]
    assert undone[2:] == ["undo two", "undo one"]
    assert (state(saga), saga.failed_step, saga.code, saga.reason) == ("compensated", "last", "PermanentError", "no")


def test_a_refusal_is_an_outcome_and_is_not_undone_itself(world: World) -> None:
    world.fates["two"] = [Refused("no money", code="declined")]
    saga = world.start()
    world.work()

    assert world.work() == {"refused": {"code": "declined", "reason": "no money"}}
    world.work_all()

    assert acts(saga) == {
        "one": "done", "two": "refused", "left": "skipped", "right": "skipped", "last": "skipped", "undo one": "done",
    }  # fmt: skip
    assert (state(saga), saga.code, saga.reason) == ("compensated", "declined", "no money")


@pytest.mark.parametrize(("atomic", "is_undone"), [(False, True), (True, False)])
def test_a_step_that_failed_is_undone_unless_it_was_rolled_back(world: World, atomic: bool, is_undone: bool) -> None:
    """The gateway may have taken the money before the answer got lost."""
    world.atomic = atomic
    world.fates["two"] = [TransientError("the fourth time")]
    world.start()

    with pytest.raises(TransientError):
        [world.work() for _ in range(2)]
    world.work_all()

    assert ("undo two" in world.done) is is_undone


def test_what_runs_beside_a_step_that_fails_is_awaited_before_anything_is_undone(world: World) -> None:
    world.fates["left"] = [PermanentError("no")]
    saga = world.start()
    [world.work() for _ in range(2)]
    with pytest.raises(PermanentError):
        world.work()

    assert (state(saga), world.waiting()) == ("compensating", ["right"])
    world.work()
    assert world.waiting() == ["undo left", "undo right"]


@pytest.mark.parametrize("point", ["begun", "ran", "marked"])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_worker_that_is_killed_at_any_act_is_repaired_by_redelivery(
    world: World, monkeypatch: pytest.MonkeyPatch, point: str, atomic: bool
) -> None:
    world.atomic = atomic
    world.fates["last"] = [PermanentError("no")]
    saga = world.start()
    dead: set[str] = set()

    while OutboxMessage.objects.exists():
        label = world.waiting()[0]
        if label not in dead:
            dead.add(label)
            with monkeypatch.context() as patched:
                _kill(patched, point)
                with pytest.raises(Killed):
                    world.work(keeps=True)
            if label == "last":
                world.fates["last"] = [PermanentError("no")]
            continue
        try:
            world.work()
        except (PermanentError, ActIsOver):
            continue

    assert state(saga) == "compensated"
    assert set(acts(saga).values()) == {"done", "failed"}
    assert Act.objects.count() == 9
    # A mark that is there keeps the task from being run again; one that is not has it run again.
    times = Counter(label for label in world.done if label != "last")
    assert set(times.values()) == {2 if point == "ran" else 1}


def _kill(patched: pytest.MonkeyPatch, point: str) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    if point == "ran":
        patched.setattr(conductor, "finish", die)
        patched.setattr(conductor, "fail", die)
        return
    for name in ("begin",) if point == "begun" else ("finish", "fail"):
        real = getattr(conductor, name)

        def and_die(*args: Any, real: Callable[..., Any] = real, **kwargs: Any) -> None:
            real(*args, **kwargs)
            if transaction.get_connection().in_atomic_block:
                transaction.on_commit(die)
            else:
                die()

        patched.setattr(conductor, name, and_die)


def test_a_late_run_of_what_was_published_anew_or_is_undone_is_refused(world: World) -> None:
    world.start()
    first = Act.objects.get(name="one")
    with transaction.atomic():
        conductor.publish_act(first)

    with pytest.raises(ActIsOver, match="waits no longer"):
        world.run(Reference(act=first.pk, publication=1))
    world.run(Reference(act=first.pk, publication=2))
    assert world.done == ["one"]


def test_the_second_run_of_an_act_that_is_done_gets_the_result_of_the_first(world: World) -> None:
    world.start()
    assert world.work(keeps=True) == "did one"
    reference = Reference(act=Act.objects.get(name="one").pk, publication=1)

    assert world.run(reference) == "did one"
    assert (world.done, Act.objects.get(name="two").publications) == (["one"], 1)


def test_a_step_without_a_task_is_done_at_once_and_undone_in_its_turn(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    other = World(monkeypatch)
    other.declare(step("only-back", task=""), step("one"))
    other.fates["one"] = [Refused("no", code="no")]
    saga = other.start()

    assert other.waiting() == ["one"]
    other.work_all()
    assert other.done == ["one", "undo only-back"]
    assert state(saga) == "compensated"


# -- compensations that fail ----------------------------------------------------------------------------------------------


def turned_back(world: World, *fates: BaseException) -> Saga:
    world.fates |= {"two": [Refused("no", code="no")], "undo one": list(fates)}
    saga = world.start()
    [world.work() for _ in range(2)]
    return saga


def test_a_compensation_that_fails_is_tried_again_with_growing_pauses(world: World) -> None:
    from celery.exceptions import Retry

    saga = turned_back(world, *(ValueError("gateway away") for _ in range(3)))
    for _ in range(3):
        with pytest.raises(Retry):
            world.work(keeps=True)
        assert state(saga) == "compensating"
    world.work()

    assert world.retried == [30, 60, 120]
    assert state(saga) == "compensated"


def test_a_compensation_that_fails_for_too_long_leaves_the_saga_stuck_until_a_person_resumes_it(
    world: World, capsys: pytest.CaptureFixture[str], client: Any, django_user_model: Any
) -> None:
    saga = turned_back(world, ValueError("gateway away"), ValueError("still away"))
    Act.objects.filter(kind="compensation").update(tried_since=timezone.now() - timedelta(days=4))
    with pytest.raises(ValueError, match="gateway away"):
        world.work()

    assert state(saga) == "stuck"
    assert OutboxMessage.objects.count() == 0
    call_command("sagas", "list", "--state", "stuck")
    call_command("sagas", "show", str(saga.pk))
    said = capsys.readouterr().out
    assert (str(saga.pk) in said, "gateway away" in said) == (True, True)
    repair_sagas()
    assert json.loads(capsys.readouterr().out)[SAGAS_STUCK.name] == [1]

    client.force_login(django_user_model.objects.create(username="staff", is_staff=True, is_superuser=True))
    assert client.get(f"/admin/sagas/saga/{saga.pk}/change/").status_code == 200
    answer = client.post("/admin/sagas/saga/", {"action": "resume", "_selected_action": str(saga.pk)}, follow=True)
    assert "1 compensations are tried again" in answer.content.decode()
    assert state(saga) == "compensating"
    # It has its three days anew.
    with pytest.raises(Exception, match="still away"):
        world.work()
    call_command("sagas", "resume", str(saga.pk), "--by", "ada")
    world.work_all()
    assert state(saga) == "compensated"
    with pytest.raises(SagaNotStuck):
        conductor.resume(saga.pk, by="ada")
    with pytest.raises(CommandError, match="no saga"):
        call_command("sagas", "show", str(uuid.uuid4()))


def test_a_stuck_compensation_that_is_sent_back_from_the_dead_letters_goes_on(world: World) -> None:
    saga = turned_back(world, ValueError("gateway away"))
    Act.objects.filter(kind="compensation").update(tried_since=timezone.now() - timedelta(days=4))
    with pytest.raises(ValueError, match="away"):
        world.work(keeps=True)

    world.work()
    assert state(saga) == "compensated"


# -- repair ---------------------------------------------------------------------------------------------------------------


LATER = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("job", "moved", "ends"),
    [
        (Job.LOST, 1, {"one": "published"}),
        (Job.WAITS, 1, {"one": "published"}),
        (Job.AT_WORK, 0, {"one": "published"}),
        (Job.OVER, 1, {"one": "failed", "undo one": "published"}),
    ],
)
def test_what_nobody_has_touched_is_looked_after(world: World, job: Job, moved: int, ends: dict[str, str]) -> None:
    saga = world.start()
    OutboxMessage.objects.all().delete()
    known = Act.objects.get(name="one").task_id
    asked: list[str] = []

    def whereabouts(task_id: str) -> tuple[Job, str]:
        asked.append(task_id)
        return job, "killed with each of its workers"

    assert repair(whereabouts) == 0
    assert repair(whereabouts, now=timezone.now() + LATER) == moved
    assert asked == [known]
    assert {label: found for label, found in acts(saga).items() if label in ("one", "undo one")} == ends
    act = Act.objects.get(name="one", kind="step")
    assert (act.task_id == known) is (job is not Job.LOST)
    assert len(world.messages()) == moved
    if job is Job.OVER:
        saga.refresh_from_db()
        assert (saga.code, saga.reason) == ("lost", "killed with each of its workers")


def test_a_compensation_whose_job_is_over_is_published_anew_after_a_pause(world: World) -> None:
    saga = turned_back(world)
    OutboxMessage.objects.all().delete()

    assert repair(lambda _: (Job.OVER, "killed"), now=timezone.now() + LATER) == 1
    (headers,) = world.messages()
    assert headers["saga_act"]["publication"] == 2
    assert headers["eta"] is not None
    assert acts(saga)["undo one"] == "published"


def test_a_saga_with_nothing_in_flight_is_set_going_again(world: World) -> None:
    saga = world.start()
    OutboxMessage.objects.all().delete()
    saga.acts.filter(name="one").update(state="done")

    assert repair(lambda _: (Job.LOST, ""), now=timezone.now() + LATER) == 1
    assert world.waiting() == ["two"]


def test_sagas_are_forgotten_90_days_after_their_end(world: World) -> None:
    saga = world.start()
    world.work_all()
    running = world.start("other")
    assert forget_old() == 0
    Saga.objects.update(created_at=timezone.now() - timedelta(days=200))
    Saga.objects.filter(pk=saga.pk).update(finished_at=timezone.now() - timedelta(days=91))
    assert forget_old() > 0
    assert list(Saga.objects.all()) == [running]


@pytest.mark.parametrize("impossible", [{"state": "done"}, {"state": "stuck"}, {"state": "running", "failed_step": "x"}, {"state": "lost"}])
def test_the_database_refuses_impossible_sagas(world: World, impossible: dict[str, Any]) -> None:
    world.start()
    with pytest.raises(IntegrityError), transaction.atomic():
        Saga.objects.update(**impossible)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "expected steps"),
        (((),), "expected steps"),
        ((step("a"), step("a")), "same name"),
        ((step("a"), (step("b"), step("a"))), "same name"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(steps: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SagaDefinition(name="tests.other", steps=steps, arguments=lambda subject: {"subject": subject})
