"""Reports by real workers that are killed, and watched."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.reports.following import Watch, assert_right, await_done, deploy, request_report
from tests.support.eventually import eventually

PROGRAM = "import runpy\nrunpy.run_module('tests.integration.reports.mortal_worker', run_name='__main__')"
#: Where its worker is killed: in the middle of a source, between two, after a file, around the end.
STEPS = ("storing", "stored", "saved", "between", "written", "finishing", "finished")


@pytest.fixture(scope="module")
def deployment(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    stack = _make_stack(tmp_path_factory.mktemp("reports"))
    deaths = stack.directory / "deaths"
    deaths.mkdir()
    stack.environment["DEATHS"] = str(deaths)
    try:
        deploy(stack, rows=400)
        stack.start("web", "outbox-relay")
        stack.start_program("worker-reports", PROGRAM)
        yield stack
    finally:
        stack.stop()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("steps", [("stored", "between", "finishing"), pytest.param(STEPS, marks=pytest.mark.long)], ids=["three", "every"])
def test_a_report_whose_worker_is_killed_in_its_steps_is_right_and_its_progress_never_falls(
    deployment: Any, steps: tuple[str, ...]
) -> None:
    deaths = deployment.directory / "deaths"
    for step in steps:
        (deaths / step).touch()

    address = request_report(deployment)
    with Watch(deployment, address) as watch:
        report = await_done(deployment, address, within=200)

    # The last one comes after the commit of the end, and its job once more.
    eventually(lambda: sorted(death.name for death in deaths.iterdir()), [], within=30)
    watch.assert_never_fell()
    assert_right(deployment, report)


@pytest.mark.timeout(120)
def test_daily_reports_that_are_asked_for_twice_are_one_for_each_department(deployment: Any) -> None:
    done = deployment.python("from celery import current_app\nfor _ in range(2): current_app.send_task('reports.generate_daily_reports')\n")
    assert done.returncode == 0, done.stderr
    finished = "SELECT department_id, count(*) FROM reports_report WHERE kind = 'daily' AND state = 'done' GROUP BY 1 ORDER BY 1"

    eventually(lambda: deployment.query(finished), [("garden", 1), ("kitchen", 1), ("toys", 1)], within=60)
    eventually(lambda: sum(deployment.depth("reports")), 0, within=30)
    assert deployment.query("SELECT count(*) FROM reports_report WHERE kind = 'daily'") == [(3,)]
