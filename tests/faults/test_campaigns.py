"""Workers of a campaign are killed again and again: each recipient gets one mail, and what is shown never falls."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import psutil
import pytest

from tests.support.eventually import eventually

VISIBILITY_SECONDS = 4
_TO = re.compile(rb"^To: (\S+)$", re.MULTILINE)

START = """
from django.contrib.auth import get_user_model
from app.workload.mailings import services
owner = get_user_model().objects.get()
campaign = services.create_campaign(
    owner=owner, name="Autumn", template_id="newsletter", context={{"headline": "Half price", "text": "Until Sunday."}},
    addresses=[f"reader{{number}}@example.com" for number in range({count})])
services.start(campaign.pk)
"""


class Campaign:
    """One campaign on a deployment whose workers die."""

    def __init__(self, stack: Any, count: int) -> None:
        self.stack, self.count = stack, count
        self.shown: list[int] = []
        self.memory: list[int] = []
        stack.shorten_visibility("emails", VISIBILITY_SECONDS)
        # Ten kills within half a minute meet a chunk more often than its queue allows.
        stack.bury_after("emails", 100)
        started = stack.python(START.format(count=count))
        assert started.returncode == 0, started.stderr
        stack.start("outbox-relay")

    def run_with_kills(self, kills: Iterable[int], within: float) -> None:
        """Kill the worker, and all its processes, each time so many mails are out; then let it come to its end."""
        for number in kills:
            (worker,) = self.stack.start("worker-emails")
            eventually(lambda worker=worker, least=number: self._look(worker) >= least, within=within)  # type: ignore[misc]
            worker.kill()
        (worker,) = self.stack.start("worker-emails")
        eventually(lambda: (self._look(worker), self.state())[1], "finished", within=within)

    def _look(self, worker: Any) -> int:
        shown = self.stack.query("SELECT shown_current FROM progress_checkpoint")
        self.shown.append(shown[0][0] if shown else 0)
        children = psutil.Process(worker.process.pid).children(recursive=True)
        self.memory.append(max((child.memory_info().rss for child in children), default=0))
        return int(self.stack.query("SELECT count(*) FROM mailings_mail WHERE state = 'sent'")[0][0])

    def state(self) -> str:
        return str(self.stack.query("SELECT state FROM mailings_campaign")[0][0])

    def mails(self) -> Counter[str]:
        """What the mail server has, by recipient."""
        found: Counter[str] = Counter()
        for path in (self.stack.directory / "mail").iterdir():
            found.update(address.decode() for address in _TO.findall(path.read_bytes()) if address.startswith(b"reader"))
        return found

    def check(self) -> None:
        assert self.mails() == {f"reader{number}@example.com": 1 for number in range(self.count)}
        ((totals,),) = self.stack.query("SELECT totals FROM mailings_campaign")
        assert totals | {"sent": self.count, "failed": 0, "success_percent": 100.0} == totals
        assert self.shown == sorted(self.shown)
        eventually(
            lambda: self.stack.query("SELECT shown_current, shown_total FROM progress_checkpoint"), [(self.count, self.count)], within=10
        )


@pytest.mark.timeout(600)
@pytest.mark.long
def test_a_small_campaign_with_two_kills_mails_each_once(stack: Any) -> None:
    campaign = Campaign(stack, 200)
    campaign.run_with_kills((30, 120), within=60)
    campaign.check()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_thousand_recipients_with_ten_kills_get_one_mail_each(stack: Any) -> None:
    campaign = Campaign(stack, 5000)
    campaign.run_with_kills(range(300, 5000, 470), within=180)
    campaign.check()
    sampled = [size for size in campaign.memory if size]
    assert max(sampled) - sampled[len(sampled) // 10] < 60 * 2**20
