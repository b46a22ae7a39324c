"""One mail's way through the server, and what is noted of it. ``models.Mail`` draws the states."""

import logging
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.mail import EmailMessage
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from app.engine.job_ledger import fence_of
from app.engine.mail.acceptance import was_accepted
from app.engine.mail.errors import MailDeferred, MailRefused, MailUnavailable, MailUncertain
from app.engine.mail.post import Post
from app.workload.mailings.letters import message_id_of
from app.workload.mailings.models import Campaign, Mail, Suppression

logger = logging.getLogger(__name__)

CLAIM_HOLDS = timedelta(minutes=2)
"""Longer than one mail can take: five answers of the server, ten seconds each."""
MOST_ATTEMPTS = 5
_PAUSE = timedelta(seconds=30)
_LONGEST_REASON = 500
State = Mail.State


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Who claims. Of two runs of one job the later has the higher fence, and the earlier is over."""

    job: str
    fence: int | None

    @classmethod
    def of(cls, request: Any) -> "Run":
        """``request`` is ``self.request`` of a bound task; a call without a job is a run of its own."""
        return cls(job=str(getattr(request, "id", None) or f"direct-{uuid.uuid4()}"), fence=fence_of(request))


@dataclass(kw_only=True, slots=True)
class Deliverer:
    """Delivers mails over one connection, for one run."""

    run: Run
    post: Post = field(default_factory=Post)

    def recover(self, mail: Mail) -> None:
        """Find out what became of a mail that a run had in hand which is over; leave one alone that a living run may have.

        | sending, by an earlier run of this job or long ago ── the server has it ──▶ sent |  never had it ──▶ pending |  who knows ──▶ uncertain |
        """
        is_over = Q(claimed_at__lt=Now() - CLAIM_HOLDS)
        if self.run.fence is not None:
            is_over |= Q(claim_job=self.run.job, claim_fence__lt=self.run.fence)
        theirs = Mail.objects.filter(is_over, pk=mail.pk, state=State.SENDING, claim_job=mail.claim_job, claim_fence=mail.claim_fence)
        if mail.claimed_at is None or not theirs.exists():
            return
        accepted = was_accepted(message_id_of(mail.pk), mail.claimed_at)
        if accepted is None:
            values = _settled(
                State.UNCERTAIN, "Its run died while the server had the mail in hand. Ask the recipient, then say so in the admin."
            )
        elif accepted:
            values = _settled(State.SENT)
        elif mail.attempts >= MOST_ATTEMPTS:
            values = _settled(State.REFUSED, f"{mail.attempts} runs died over this mail.")
        else:
            values = {"state": State.PENDING}
        if theirs.update(**values):
            mail.state = values["state"]
            logger.warning("mail found in hand", extra={"mail": mail.pk, "now": str(mail.state)})

    def deliver(self, mail: Mail, letter: EmailMessage) -> bool:
        """Claim a mail that is pending, give it to the server and note what it says. False if somebody else has it, or its campaign rests.

        Raises :class:`~app.engine.mail.errors.MailUnavailable` and its kin for what may go later, after noting it.
        """
        if not self._claim(mail):
            return False
        try:
            self.post.send(letter)
        except MailRefused as error:
            self._settle(mail, **_settled(State.REFUSED, str(error)))
            if error.is_address_dead:
                Suppression.objects.get_or_create(address=mail.address, defaults={"reason": Suppression.Reason.BOUNCED})
        except MailUncertain as error:
            accepted = was_accepted(message_id_of(mail.pk), timezone.now() - CLAIM_HOLDS)
            if accepted is not False:
                self._settle(mail, **(_settled(State.SENT) if accepted else _settled(State.UNCERTAIN, str(error))))
            else:
                self._put_back(mail, str(error))
            raise
        except MailDeferred as error:
            self._put_back(mail, str(error))
            raise
        except MailUnavailable:
            # The server never heard of it: that was no attempt.
            self._settle(mail, state=State.PENDING, attempts=F("attempts") - 1)
            raise
        else:
            self._settle(mail, **_settled(State.SENT))
        return True

    def _claim(self, mail: Mail) -> bool:
        # | pending, of no campaign or a running one ── claim ──▶ sending |  anything else ──▶ as it is |
        may_go = Q(campaign=None) | Q(campaign__state=Campaign.State.RUNNING)
        claimed = Mail.objects.filter(may_go, pk=mail.pk, state=State.PENDING).update(
            state=State.SENDING,
            attempts=F("attempts") + 1,
            claim_job=self.run.job,
            claim_fence=self.run.fence,
            claimed_at=Now(),
            due_at=None,
        )
        mail.attempts += claimed
        return claimed == 1

    def _put_back(self, mail: Mail, reason: str) -> None:
        if mail.attempts >= MOST_ATTEMPTS:
            self._settle(mail, **_settled(State.REFUSED, f"Put off {mail.attempts} times, at last: {reason}"))
        else:
            pause = _PAUSE * 2 ** (mail.attempts - 1)
            self._settle(mail, state=State.PENDING, due_at=timezone.now() + pause, reason=reason[:_LONGEST_REASON])

    def _settle(self, mail: Mail, **values: Any) -> None:
        # | sending, claimed by this run ──▶ as noted |  uncertain, as others thought of this run ──▶ as noted |  else ──▶ as it is |
        Mail.objects.filter(
            pk=mail.pk, state__in=[State.SENDING, State.UNCERTAIN], claim_job=self.run.job, claim_fence=self.run.fence
        ).update(**({"settled_at": None} | values))


def skip(mail: Mail) -> None:
    """Leave out a pending mail whose address is suppressed."""
    # | pending ── suppressed ──▶ skipped |
    Mail.objects.filter(pk=mail.pk, state=State.PENDING).update(**_settled(State.SKIPPED, "The address is suppressed."))


def refuse(mail: Mail, reason: str) -> None:
    """Note that a pending mail cannot be written."""
    # | pending ── cannot be written ──▶ refused |
    Mail.objects.filter(pk=mail.pk, state=State.PENDING).update(**_settled(State.REFUSED, reason))


def decide(mail_ids: list[int], *, was_sent: bool) -> int:
    """Note what a person has found out about uncertain mails, and return of how many."""
    # | uncertain ── they have it ──▶ sent |  uncertain ── they have not ──▶ refused |
    values = _settled(State.SENT) if was_sent else _settled(State.REFUSED, "A person says that it did not arrive.")
    return Mail.objects.filter(pk__in=mail_ids, state=State.UNCERTAIN).update(**values)


def _settled(state: Mail.State, reason: str = "") -> dict[str, Any]:
    return {"state": state, "reason": reason[:_LONGEST_REASON], "settled_at": timezone.now()}
