"""What the runbooks have an operator run, on the deployed stage: ``scripts/operate`` starts each command as a task with the operator's role."""

import json
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.topology import TOPOLOGY
from scripts.laptop.demo import Shop
from scripts.rehearsal.console import Console, Done
from scripts.rehearsal.dead_letters import await_letters, discard, send_in_vain
from scripts.rehearsal.exercises.names import task_name
from scripts.rehearsal.findings import Findings

_QUEUES = [queue.name for queue in TOPOLOGY.queues]
#: Where scripts/redrive sends back.
_QUEUE = "emails"
_PAUSED = "reports"
#: As shells count a process that SIGTERM has ended.
_ENDED_BY_SIGTERM = 143
#: Whom the emulator calls the account's own key.
_BY = "root"


def operate_the_stage(console: Console, shop: Shop, findings: Findings) -> None:
    """Everything that the operator's role allows is needed by one of these commands, or is told to be needless."""
    _look(console, findings)
    _tell_workers(console, findings)
    _send(console, findings)
    _work_off_letters(console, shop, findings)
    _stop(console, findings)


# -- looking ----------------------------------------------------------------------------------------------------------
def _names_all_queues(done: Done) -> bool:
    return [queue["queue"] for queue in done.document() or ()] == _QUEUES


def _names_all_workers(done: Done) -> bool:
    return set(_QUEUES) <= {queue for worker in (done.document() or {}).get("workers", ()) for queue in worker["queues"]}


def _is_json_by_line(done: Done) -> bool:
    """And nothing else."""
    return all(line.startswith(b"{") and line.endswith(b"}") for line in done.output.splitlines())


def _has_jobs(done: Done) -> bool:
    return _is_json_by_line(done) and bool(done.output)


def _is_csv(done: Done) -> bool:
    head, *rows = done.output.splitlines()
    return head == b"at,run_seconds" and bool(rows) and all(row.count(b",") == 1 for row in rows)


def _is_list(done: Done) -> bool:
    return isinstance(done.document(), list)


def _says_something(done: Done) -> bool:
    return bool(done.output.strip())


#: What is run, and what its output must be.
_LOOKS: Mapping[tuple[str, ...], Callable[[Done], bool]] = {
    ("queues", "--json"): _names_all_queues,
    ("workers", "--json"): _names_all_workers,
    ("jobs", "--json", "--limit", "3"): _has_jobs,
    ("jobs", "--json", "--state", "failed"): _is_json_by_line,
    ("jobs", "--json", "--fingerprint", "0123456789ab"): _is_json_by_line,
    ("jobs", "--json", "--tenant", "nobody"): _is_json_by_line,
    ("arrivals", "emails", "--limit", "20"): _is_csv,
    ("breakers", "list", "--json"): _is_list,
    ("dead_letters", "groups", "--json"): _is_list,
    ("schedule",): _says_something,
    ("sagas", "list"): _says_something,
    ("delayed",): _says_something,
}


def _look(console: Console, findings: Findings) -> None:
    done = console.operate_each(list(_LOOKS))
    wrong = [one.told for one, is_right in zip(done, _LOOKS.values(), strict=True) if one.exit_status != 0 or not is_right(one)]
    findings.expect_none(wrong, f"{len(done)} commands that read printed what is there, and nothing else", "Commands that read")
    unknown = console.operate("breakers", "reset", "nobody")
    findings.expect(
        unknown.exit_status == 1 and "No breaker 'nobody' is known" in unknown.words and not unknown.output,
        "a command that fails ends with its own exit status, and its words are on standard error",
        f"A breaker that does not exist must be refused with 1: {unknown.told}",
    )


# -- telling ----------------------------------------------------------------------------------------------------------
def _tell_workers(console: Console, findings: Findings) -> None:
    answer = console.operate("celery", "inspect", "--timeout", "10", "ping").output.decode()
    findings.expect_none(
        [queue for queue in _QUEUES if f"{queue}@" not in answer],
        f"an operator asked, and the workers of {len(_QUEUES)} queues answered",
        "No answer came from",
    )
    paused = console.operate("celery", "control", "pause_queue", _PAUSED)
    shown = console.operate("celery", "inspect", "paused_queues")
    resumed = console.operate("celery", "control", "resume_queue", _PAUSED)
    findings.expect(
        _PAUSED in shown.output.decode() and paused.exit_status == resumed.exit_status == 0,
        f"{_PAUSED} was paused and resumed",
        f"A queue must be paused and resumed: {paused.told}; {shown.told}; {resumed.told}",
    )


def _send(console: Console, findings: Findings) -> None:
    """With quotes, spaces and what a shell would take for a variable."""
    arguments = {"step": "rest", "text": 'it\'s "quoted" $HOME \\ *'}
    sent = console.operate("celery", "call", task_name(TOPOLOGY.queue(_QUEUE)), "--kwargs", json.dumps(arguments))
    job = sent.output.decode().strip()
    found = console.operate("job", job or "nothing", "--json")
    state = (found.document() or {}).get("state")
    findings.expect(
        found.exit_status == 0 and state in {"queued", "started", "succeeded"},
        "a job was sent, and found by its id",
        f"A job that was sent must be found: {sent.told}; {found.told}",
    )


# -- dead letters -----------------------------------------------------------------------------------------------------
def _work_off_letters(console: Console, shop: Shop, findings: Findings) -> None:
    """On each queue one dies that is meant, and one beside it that is not."""
    tenant, other = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("operator", "bystander"))
    for each in (other, tenant):
        send_in_vain(shop, each, _QUEUES, sizes=[1])
    for each in (other, tenant):
        await_letters(shop, tenant=each, wanted=len(_QUEUES), redrives=0)
    by_script = console.redrive(_QUEUE, "--tenant", tenant)
    is_well = by_script.exit_status == 0 and bool(await_letters(shop, tenant=tenant, wanted=1, redrives=1))
    findings.expect(is_well, "scripts/redrive sent one letter back, and not the one beside it", f"scripts/redrive: {by_script.told}")

    redriven = console.operate("dead_letters", "redrive", "--tenant", tenant, "--json")
    letters = await_letters(shop, tenant=tenant, wanted=len(_QUEUES) - 1, redrives=1)
    await_letters(shop, tenant=tenant, wanted=1, redrives=2)
    findings.expect(
        redriven.exit_status == 0 and _done(redriven) == len(_QUEUES),
        f"an operator sent the letters of {len(_QUEUES)} queues back, where they died again",
        f"Each letter must be sent back: {redriven.told}",
    )
    shown = console.operate("dead_letters", "show", str(letters[0]["id"]), "--json")
    lineage = (shown.document() or {}).get("lineage", [])
    findings.expect(
        [redrive["by"] for redrive in lineage] == [_BY],
        "each letter says who sent it back: whom AWS knows the operator as",
        f"The letter must name {_BY}: {shown.told}",
    )
    discarded = console.operate("dead_letters", "discard", "--tenant", tenant, "--json")
    beside = await_letters(shop, tenant=other, wanted=len(_QUEUES), redrives=0)
    findings.expect(
        discarded.exit_status == 0 and _done(discarded) == len(beside) == len(_QUEUES),
        "and discarded them, but none beside them",
        f"Each letter must be discarded, and no other: {discarded.told}",
    )
    discard(shop, other)


def _done(done: Done) -> Any:
    return (done.document() or {}).get("done")


# -- stopping ---------------------------------------------------------------------------------------------------------
def _stop(console: Console, findings: Findings) -> None:
    """Of a command that would last: it says that it has begun, in a file of this machine."""
    with tempfile.TemporaryDirectory() as directory:
        mark = Path(directory) / "begun"
        code = f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); print('begun', flush=True); time.sleep(600)"
        stopped = console.interrupt("shell", "--no-imports", "--command", code, when=mark.exists)
    findings.expect(
        (stopped.exit_status, stopped.output) == (_ENDED_BY_SIGTERM, b"begun\n"),
        "Ctrl-C stopped a task, and what it had said until then was shown",
        f"Ctrl-C must stop the task: {stopped.told}",
    )
