"""Whether the roles allow what the application does, and nothing that it does not need."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.grants import Call, Grant, Judge, Role, calls_by_role, misjudged, put_role, unused
from scripts.rehearsal.roles import PROBE

_DENIED_WITHIN = timedelta(seconds=30)
_LOOK_EVERY = timedelta(milliseconds=200)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unexercised:
    """What the rehearsal gives nobody reason to do."""

    action: str
    """It begins so."""
    service: str = ""
    """Of which service; of any without it."""
    stage: str = ""
    """In which stage it is granted; in every one without it."""
    reason: str

    def covers(self, grant: Grant, service: str) -> bool:
        return grant.action.startswith(self.action) and self.service in {"", service}


UNEXERCISED: tuple[Unexercised, ...] = (
    Unexercised(action="ssmmessages:", stage="dev", reason="a person's shell in a container, which the emulator does not start"),
    Unexercised(
        action="s3:ListBucket",
        service="web",
        reason="S3 itself looks for it before it says that a file is absent; the emulator says so anyway",
    ),
    Unexercised(action="dynamodb:PutItem", service="web", reason="the shop's views start no chord; those of its users may"),
    Unexercised(
        action="sqs:DeleteMessage", service="outbox-relay", reason="the clerk deletes what somebody had sent back who was killed half-way"
    ),
)


class Judgement:
    """Of one run. ``services``: which service has which role."""

    def __init__(self, aws: EmulatedAws, judge: Judge, services: dict[str, Role], *, stage: str, findings: Findings) -> None:
        self._aws = aws
        self._judge = judge
        self._services = services
        self._stage = stage
        self._findings = findings
        self._taken: set[tuple[str, str]] = set()

    def prove_by_taking_away(self, samples: Sequence[tuple[str, str]]) -> None:
        """Take an action away from a running service, wait until IAM denies it, and give it back.

        A sample for what the judge says of all: that a call which it would deny is denied.
        """
        iam, denied = self._aws.client("iam"), []
        for service, action in samples:
            role = self._services[service]
            self._taken.add((role.name, action))
            put_role(iam, role.without(*(grant for grant in role.grants() if grant.action == action)))
            if self._is_denied_soon(role, action):
                denied.append(f"{service} {action}")
            put_role(iam, role)
        told = ", ".join(f"{service} {action}" for service, action in samples)
        missing = [f"{service} {action}" for service, action in samples if f"{service} {action}" not in denied]
        self._findings.expect_none(missing, f"taken away while it runs, and denied at once: {told}", "Taken away, and not denied")

    def tell(self) -> None:
        """What was denied, what is not needed, and whether the judge is to be believed. Call it when everything has ended."""
        decisions = [call for call in self._aws.decisions() if not call["principal"].endswith(f"/{PROBE}")]
        calls = calls_by_role(call for call in decisions if not self._was_taken(call))
        roles = list(self._services.values())
        denied = [_told(call) for made in calls.values() for call in made if call["outcome"] != "allowed"]
        denied += [_told(call) for call in decisions if call["outcome"].startswith("refused")]
        made = sum(len(calls.get(role.name, ())) for role in roles)
        self._findings.expect_none(denied, f"{made} different calls of {len(roles)} services, none denied", "Calls were denied")
        wrong = misjudged(roles, calls, self._judge)
        self._findings.expect_none(
            [_told(call) for call in wrong], "judged again, each call comes out as it did", "The judge and IAM disagree"
        )
        self._tell_unneeded(set(unused(roles, calls, self._judge)))

    def _tell_unneeded(self, idle: set[Grant]) -> None:
        used, excused = Counter[Unexercised](), 0
        lines, useless = [], []
        for service, role in sorted(self._services.items()):
            grants = role.grants()
            needed = [grant for grant in grants if grant not in idle]
            kinds = {(grant.statement, grant.action) for grant in grants} - {(grant.statement, grant.action) for grant in needed}
            for statement, action in sorted(kinds):
                one = next(grant for grant in grants if (grant.statement, grant.action) == (statement, action))
                excuse = next((entry for entry in UNEXERCISED if entry.covers(one, service)), None)
                if excuse is None:
                    useless.append(f"{service}: {statement}: {action}")
                else:
                    used[excuse] += 1
                    excused += 1
            idle_places = Counter(
                f"{grant.statement} {grant.action}" for grant in grants if grant in idle and (grant.statement, grant.action) not in kinds
            )
            lines.append(
                f"    {service}: {len(needed)} of {len(grants)} needed"
                + "".join(f"\n      not on {count} of its resources: {what}" for what, count in idle_places.items())
            )
        total = sum(len(role.grants()) for role in self._services.values())
        self._findings.say(
            f"  {total} grants of one action on one resource; without any single one of {total - len(idle)} of them the run would have failed:"
        )
        for line in lines:
            self._findings.say(line)
        for entry, count in used.items():
            self._findings.say(f"    not exercised, {count} x {entry.action}*: {entry.reason}")
        self._findings.expect_none(
            useless, f"every action of every statement is needed somewhere, but {excused} that are excused", "Granted, and never needed"
        )
        self._findings.expect_none(
            [entry.action for entry in UNEXERCISED if not used[entry] and entry.stage in {"", self._stage}],
            "every excuse is needed",
            "Excuses that excuse nothing; delete them",
        )

    def _is_denied_soon(self, role: Role, action: str) -> bool:
        deadline = time.monotonic() + _DENIED_WITHIN.total_seconds()
        while time.monotonic() < deadline:
            if any(
                call["outcome"] == "denied" and (_role_of(call), call["action"]) == (role.name, action) for call in self._aws.decisions()
            ):
                return True
            time.sleep(_LOOK_EVERY.total_seconds())
        return False

    def _was_taken(self, call: Call) -> bool:
        return call["outcome"] == "denied" and (_role_of(call), call["action"]) in self._taken


def _role_of(call: Call) -> str:
    return call["principal"].split("/")[1] if ":assumed-role/" in call["principal"] else ""


def _told(call: Call) -> str:
    return f"{call['principal'].rpartition(':')[2]}: {call['action']} on {call['resource']}: {call['outcome']}"
