"""The shop writes to its readers. One address stands twice in the list; each reader gets one mail, and the shop is told when all are out."""

import uuid
from collections import Counter
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from scripts.laptop.demo import DemoFailed, Shop, Story

_READERS = 250
_ENDED_WITHIN = timedelta(seconds=90)
_TOLD_WITHIN = timedelta(seconds=20)


def write_to_readers(shop: Shop) -> Story:
    """Raises :class:`DemoFailed` when the API does not do its part; what the mails then show is in the story."""
    story = Story(
        title="Mailings", columns=("campaign", "state", "recipients", "sent", "success"), right=frozenset({"recipients", "sent", "success"})
    )
    morning = uuid.uuid4().hex[:8]
    readers = [f"reader{number}+{morning}@example.com" for number in range(_READERS)]
    campaign = _make(shop, morning, readers)
    address = campaign["links"]["self"]
    _expect(shop.post(f"{address}/start", {}, idempotency_key=f"demo-{morning}-start"), HTTPStatus.OK, "start the campaign")
    campaign = _await_end(shop, address)
    totals = campaign["totals"]
    story.rows.append((campaign["name"], campaign["state"], str(totals["total"]), str(totals["sent"]), f"{totals['success_percent']} %"))
    story.expect(totals["sent"] == _READERS, f"Each of {_READERS} readers must be counted once as sent, got {totals}.")
    mailed = _mailed(shop, set(readers))
    story.expect(
        mailed == dict.fromkeys(readers, 1),
        f"Each reader must have one mail in {shop.mail_directory}; {sum(count != 1 for count in mailed.values()) + len(readers) - len(mailed)} have not.",
    )
    story.proven.append(f"{len(mailed)} readers, one mail each, though one address stood twice in the list")
    _check_notification(shop, campaign["id"], story)
    return story


def _make(shop: Shop, morning: str, readers: list[str]) -> dict[str, Any]:
    body = {
        "name": f"Autumn sale, {morning}",
        "template": "newsletter",
        "context": {"headline": "All books half price", "text": "Until Sunday, online and in the shop."},
        "recipients": [*readers, readers[0].upper()],
    }
    made: dict[str, Any] = _expect(
        shop.post("/api/mailings", body, idempotency_key=f"demo-{morning}"), HTTPStatus.CREATED, "make a campaign"
    )
    return made


def _await_end(shop: Shop, address: str) -> dict[str, Any]:
    latest: dict[str, Any] = {}

    def has_ended() -> bool:
        latest.update(shop.get(address).body)
        return bool(latest["state"] == "finished")

    if not shop.wait_until(
        has_ended, lambda: f"{latest['totals']['processed']} of {latest['totals']['total']} mails are out", _ENDED_WITHIN
    ):
        raise DemoFailed(
            f"The campaign {address} is {latest['state']} after {_ENDED_WITHIN.total_seconds():.0f} s. See var/log/worker-emails.log."
        )
    return latest


def _mailed(shop: Shop, readers: set[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for mail in shop.mail_directory.glob("*"):
        lines = mail.read_text(errors="replace").splitlines()
        found.update(line.removeprefix("To: ").strip() for line in lines if line.startswith("To: "))
    return Counter({address: count for address, count in found.items() if address in readers})


def _check_notification(shop: Shop, campaign_id: str, story: Story) -> None:
    def told() -> list[Any]:
        items = shop.items("/api/notifications?limit=100")
        return [item for item in items if item["event"] == f"campaign_finished:{campaign_id}"]

    shop.wait_until(lambda: bool(told()), lambda: "waiting to be told that all mails are out", _TOLD_WITHIN)
    found = told()
    story.expect(len(found) == 1, f"The end of the campaign must be shown once, is shown {len(found)} times.")
    if found:
        story.proven.append(f"the owner was told once: {found[0]['title']}")


def _expect(answer: Any, status: HTTPStatus, what: str) -> Any:
    if answer.status != status:
        raise DemoFailed(f"Could not {what}: expected {status}, got {answer.status}: {answer.body}")
    return answer.body
