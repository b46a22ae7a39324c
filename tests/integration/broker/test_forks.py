"""A program publishes, forks and publishes on: parent and children use connections of their own, and no message is mixed up."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.broker.fleet import Fleet
from tests.support.environment import REPOSITORY, free_port
from tests.support.eventually import eventually

#: Each way out; what goes wrong raises and so ends the process with a status.
PUBLISH = """
import os, sys, threading, time
def publish(name, number=200):
    for job in range(0, number // 2):
        note.delay(f"{name} {job}")
    group(note.si(f"{name} {job}") for job in range(number // 2, number * 3 // 4)).apply_async()
    publish_many(note, [[f"{name} {job}"] for job in range(number * 3 // 4, number)])

def in_child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            # As an ordinary end would: whatever the interpreter finalizes must not touch the parent's connections.
            os._exit(status) if status else sys.exit(0)
    return pid

def await_children(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
"""


def sent(fleet: Fleet) -> Counter[str]:
    """The jobs whose messages SQS holds."""
    return Counter(json.loads(json.loads(body)["body"])[0][0] for body in fleet.bodies())


def jobs_of(*names: str, number: int = 200) -> Counter[str]:
    return Counter(f"{name} {job}" for name in names for job in range(number))


def test_parent_and_child_publish_at_the_same_time(fleet: Fleet) -> None:
    statuses = fleet.ask(
        PUBLISH + "publish('before', 10)\n"
        "pids = [in_child(lambda: publish('child'))]\n"
        "publish('parent')\n"
        "statuses = await_children(pids)\n"
        "publish('after', 10)\n"
        "print(json.dumps(statuses))"
    )

    assert statuses == [0]
    assert sent(fleet) == jobs_of("parent", "child") + jobs_of("before", "after", number=10)


@pytest.mark.long
def test_a_fork_in_the_middle_of_other_threads_requests_holds_nobody_up(fleet: Fleet) -> None:
    statuses = fleet.ask(
        # What Celery makes at first use, it makes under locks that a forked child would find taken.
        PUBLISH + "publish('before', 4)\n"
        "threads = [threading.Thread(target=publish, args=(f'thread {number}', 100)) for number in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "pids = []\n"
        "for number in range(5):\n"
        "    pids.append(in_child(lambda: publish(f'child {number}', 20)))\n"
        "    publish(f'between {number}', 4)\n"
        "[thread.join() for thread in threads]\n"
        "print(json.dumps(await_children(pids)))"
    )

    assert statuses == [0] * 5
    assert sent(fleet) == (
        jobs_of(*(f"thread {number}" for number in range(4)), number=100)
        + jobs_of(*(f"child {number}" for number in range(5)), number=20)
        + jobs_of("before", *(f"between {number}" for number in range(5)), number=4)
    )


@pytest.mark.long
def test_a_pool_of_processes_publishes(fleet: Fleet) -> None:
    fleet.ask(
        PUBLISH + "import multiprocessing\n"
        "publish('before', 10)\n"
        "with multiprocessing.get_context('fork').Pool(3) as pool:\n"
        "    pool.map(publish, ['one', 'two', 'three'], 1)\n"
        "publish('after', 10)\n"
    )

    assert sent(fleet) == jobs_of("one", "two", "three") + jobs_of("before", "after", number=10)


def test_a_preloaded_site_publishes_from_each_of_its_processes(fleet: Fleet) -> None:
    port = free_port()
    log = fleet.directory / "site.log"
    with log.open("wb") as stream:
        site = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--preload", "-w", "3", "-b", f"127.0.0.1:{port}", "tests.integration.broker.shop_site"],
            cwd=REPOSITORY,
            env=fleet.environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: log.read_text().count("Booting worker"), 3, within=20)

        def ask(job: int) -> int:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{job}", timeout=10) as answer:
                return int(answer.status)

        with ThreadPoolExecutor(6) as threads:
            assert set(threads.map(ask, range(200))) == {200}
    finally:
        os.killpg(site.pid, signal.SIGTERM)
        site.wait(20)

    assert sent(fleet) == Counter(["preloaded", *range(200)])
