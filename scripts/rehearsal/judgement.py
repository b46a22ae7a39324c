"""Whether the roles allow what the application does, and nothing that it does not need."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.grants import Call, Grant, Judge, Role, calls_by_role, misjudged, put_role, unused
from scripts.rehearsal.roles import PROBE

_DENIED_WITHIN = timedelta(seconds=30)
_LOOK_EVERY = timedelta(milliseconds=200)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unexercised:
    """What nobody can do in the emulator. What the rehearsal only gives nobody reason to do is no excuse: it wants a journey."""

    action: str
    """It begins so."""
    stage: str = ""
    """In which stage it is granted; in every one without it."""
    reason: str


UNEXERCISED: tuple[Unexercised, ...] = (
    Unexercised(action="ssmmessages:", stage="dev", reason="a person's shell in a container, and the emulator starts none"),
    Unexercised(action="logs:", reason="a function's lines, which the emulator takes without asking its role"),
)


def sort_out(idle: Iterable[Grant], excuses: Sequence[Unexercised]) -> tuple[Counter[Unexercised], list[Grant]]:
    """How many of the grants that nobody needed each excuse covers, and those that none does."""
    used, useless = Counter[Unexercised](), []
    for grant in idle:
        excuse = next((entry for entry in excuses if grant.action.startswith(entry.action)), None)
        if excuse is None:
            useless.append(grant)
        else:
            used[excuse] += 1
    return used, useless


class Judgement:
    """Of one run. ``roles``: of each service and function, by its name."""

    def __init__(self, aws: EmulatedAws, judge: Judge, roles: dict[str, Role], *, stage: str, findings: Findings) -> None:
        self._aws = aws
        self._judge = judge
        self._roles = roles
        self._stage = stage
        self._findings = findings
        self._taken: list[Grant] = []

    def prove_by_taking_away(self, samples: Sequence[tuple[str, str]]) -> None:
        """Take an action away from a running service, wait until IAM denies it, and give it back.

        A sample for what the judge says of all: that a call which it would deny is denied.
        """
        denied = []
        for service, action in samples:
            with self.taken_away(service, action) as taken:
                if self.is_denied_soon(taken):
                    denied.append(f"{service} {action}")
        told = ", ".join(f"{service} {action}" for service, action in samples)
        missing = [f"{service} {action}" for service, action in samples if f"{service} {action}" not in denied]
        self._findings.expect_none(missing, f"taken away while it runs, and denied at once: {told}", "Taken away, and not denied")

    @contextmanager
    def taken_away(self, service: str, action: str, *, statement: str = "") -> Iterator[list[Grant]]:
        """A running service may not do this meanwhile, of one statement or of all. What it is denied for that is no problem of its role."""
        iam, role = self._aws.client("iam"), self._roles[service]
        taken = [grant for grant in role.grants() if grant.action == action and statement in {"", grant.statement}]
        self._taken += taken
        put_role(iam, role.without(*taken))
        try:
            yield taken
        finally:
            put_role(iam, role)

    def is_denied_soon(self, taken: Sequence[Grant]) -> bool:
        """Whether IAM denies a call that one of these grants would have allowed."""
        deadline = time.monotonic() + _DENIED_WITHIN.total_seconds()
        while time.monotonic() < deadline:
            if any(call["outcome"] == "denied" and _is_about(call, taken) for call in self._aws.decisions()):
                return True
            time.sleep(_LOOK_EVERY.total_seconds())
        return False

    def has_done(self, service: str, action: str) -> bool:
        """Whether a service has done this on every resource on which it may, so far."""
        made = [call for call in self._decisions() if call["outcome"] == "allowed"]
        return all(any(_is_about(call, [grant]) for call in made) for grant in self._roles[service].grants() if grant.action == action)

    def tell(self) -> None:
        """What was denied, what is not needed, and whether the judge is to be believed. Call it when everything has ended."""
        decisions = self._decisions()
        calls = calls_by_role(call for call in decisions if not self._was_taken(call))
        roles = list(self._roles.values())
        denied = [_told(call) for made in calls.values() for call in made if call["outcome"] != "allowed"]
        denied += [_told(call) for call in decisions if call["outcome"].startswith("refused")]
        made = sum(len(calls.get(role.name, ())) for role in roles)
        self._findings.expect_none(denied, f"{made} different calls of {len(roles)} roles, none denied", "Calls were denied")
        wrong = misjudged(roles, calls, self._judge)
        self._findings.expect_none(
            [_told(call) for call in wrong], "judged again, each call comes out as it did", "The judge and IAM disagree"
        )
        self._tell_unneeded(set(unused(roles, calls, self._judge)))

    def _tell_unneeded(self, idle: set[Grant]) -> None:
        used, useless = sort_out(sorted(idle), UNEXERCISED)
        holders = {role.name: holder for holder, role in self._roles.items()}
        granted = {holder: role.grants() for holder, role in sorted(self._roles.items())}
        total = sum(len(grants) for grants in granted.values())
        self._findings.say(
            f"  {total} grants of one action on one resource; without any single one of {total - len(idle)} of them the run would have failed:"
        )
        for holder, grants in granted.items():
            self._findings.say(f"    {holder}: {sum(grant not in idle for grant in grants)} of {len(grants)} needed")
        for entry, count in used.items():
            self._findings.say(f"    cannot be exercised, {count} x {entry.action}*: {entry.reason}")
        self._findings.expect_none(
            [f"{holders[grant.role]}: {grant.statement}: {grant}" for grant in useless],
            "every single grant is needed" + (f", but {used.total()} that the emulator cannot exercise" if used else ""),
            "Granted, and never needed",
        )
        self._findings.expect_none(
            [entry.action for entry in UNEXERCISED if not used[entry] and entry.stage in {"", self._stage}],
            "every excuse is needed",
            "Excuses that excuse nothing; delete them",
        )

    def _decisions(self) -> list[Call]:
        """About what was called, but not by the rehearsal itself."""
        return [call for call in self._aws.decisions() if not call["principal"].endswith(f"/{PROBE}")]

    def _was_taken(self, call: Call) -> bool:
        return call["outcome"] == "denied" and _is_about(call, self._taken)


def _is_about(call: Call, grants: Iterable[Grant]) -> bool:
    return any(
        (_role_of(call), call["action"]) == (grant.role, grant.action) and fnmatchcase(call["resource"], grant.resource) for grant in grants
    )


def _role_of(call: Call) -> str:
    return call["principal"].split("/")[1] if ":assumed-role/" in call["principal"] else ""


def _told(call: Call) -> str:
    return f"{call['principal'].rpartition(':')[2]}: {call['action']} on {call['resource']}: {call['outcome']}"
