"""``/api/reports`` and the pages, as programs and staff see them."""

import json
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.api.tokens import issue_token
from app.engine.outbox.models import OutboxMessage
from app.engine.progress import checkpoints
from app.workload.reports import services
from app.workload.reports.models import Department, Report
from tests.support.quickly import quickly

pytestmark = pytest.mark.django_db
GOOD: dict[str, Any] = {"department": "toys", "first_day": "2026-01-01", "last_day": "2026-01-31"}
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def toys(db: None) -> Department:
    return Department.objects.create(code="toys", name="Toys")


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    return client


def post(client: Client, body: Any = None, key: str | None = None, **changes: Any) -> Any:
    content = json.dumps(GOOD | changes) if body is None else body
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/reports", content, content_type="application/json", headers=headers)


def assert_problem(response: Any, status: int) -> None:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]


def done(report_id: str) -> Report:
    return services.generate_large_report(report_id, SimpleNamespace(id="job", properties={}))


def stranger() -> Client:
    eve = get_user_model().objects.create(username="eve")
    return Client(headers={"Authorization": f"Bearer {issue_token(eve, 'eve')}"})


def test_a_report_is_accepted_followed_and_downloaded(api_client: Any, books: int, storage: Any) -> None:
    response = post(api_client)
    assert response.status_code == 201
    accepted = response.json()
    assert (accepted["state"], accepted["progress"], accepted["files"]) == ("requested", None, {})
    assert_problem(api_client.get(f"{accepted['links']['self']}/csv"), 404)

    done(accepted["id"])
    report = api_client.get(accepted["links"]["self"]).json()
    assert report["state"] == "done"
    assert report["progress"].items() >= {"percent": 100, "steps": 6, "label": "finished"}.items()
    assert report["bytes"] == sum(file["bytes"] for file in report["files"].values())
    assert report["duration_seconds"] >= 0
    for file in report["files"].values():
        redirected = api_client.get(file["link"])
        assert redirected.status_code == 302
        assert "X-Amz-Expires=300" in redirected["Location"]
        with urllib.request.urlopen(redirected["Location"]) as download:  # noqa: S310 — the local S3
            assert len(download.read()) == file["bytes"]
            assert download.headers["Content-Disposition"].startswith('attachment; filename="toys-2026-01-01-2026-01-31.')


def test_progress_is_told_while_it_runs(api_client: Any) -> None:
    accepted = post(api_client).json()
    work = Report.objects.get().work
    checkpoints.take(work).save(state={}, current=30, total=120, label="step 2 of 6: reading returns", counts={"step": 2, "rows": 30})

    progress = api_client.get(accepted["links"]["self"]).json()["progress"]

    assert progress.pop("updated_at")
    assert progress == {"percent": 25, "step": 2, "steps": 6, "rows": 30, "label": "step 2 of 6: reading returns"}


_DAYS: tuple[Any, ...] = (
    None,
    "",
    "x",
    20260101,
    "2026-13-01",
    "2026-02-30",
    "20260101",
    "2026-W01-1",
    "2026-01-01T00:00:00",
    [],
    "\0",
    True,
)
_CODES: tuple[Any, ...] = ("", "nowhere", "x" * 41, "a b", "../x", "\0", "töys", 1, [], {}, True)
WRONG: list[tuple[dict[str, Any], str]] = [
    *(({"first_day": day}, "first_day") for day in _DAYS),
    *(({"last_day": day}, "last_day") for day in _DAYS),
    *(({"department": code}, "department") for code in _CODES),
    ({"last_day": "2025-12-31"}, ""),
    ({"last_day": TODAY.isoformat()}, ""),
    ({"last_day": "9999-12-31"}, ""),
    ({"first_day": "0001-01-01"}, ""),
    ({"owner": 1}, "owner"),
    ({"state": "done"}, "state"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG, ids=lambda value: repr(value)[:40])
def test_impossible_values_are_refused_by_name_at_once_and_enqueue_nothing(api_client: Any, changes: dict[str, Any], field: str) -> None:
    response = quickly(lambda: post(api_client, **changes))

    assert_problem(response, 422)
    assert field in {error["field"] for error in response.json()["errors"]}
    assert all(error["reason"] for error in response.json()["errors"])
    assert not Report.objects.exists()
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("null", 422),
        ("[]", 422),
        ("{}", 422),
        ("{", 400),
        ('{"first_day": 1, "first_day": 2}', 400),
        ('{"department": "\\ud800"}', 422),
        ("[" * 100_000, 400),
        ('{"department":' + '{"a":' * 10_000, 400),
        ('{"department":' + "[" * 100 + "]" * 100 + "}", 422),
        (b'{"department": "\xff"}', 400),
        ('{"first_day": ' + "1" * 10_000 + "}", 400),
        ('{"first_day": 1e999}', 422),
        ('{"first_day": NaN}', 400),
        (json.dumps(GOOD | {"department": "x" * 3_000_000}), 413),
        (json.dumps({f"k{number}": number for number in range(10_000)}), 400),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_bomb_is_never_our_mistake(api_client: Any, body: str | bytes, status: int) -> None:
    response = quickly(lambda: post(api_client, body))

    assert_problem(response, status)
    assert not OutboxMessage.objects.exists()


def test_anothers_report_is_not_there_and_staff_sees_it(api_client: Any, books: int, storage: Any) -> None:
    accepted = post(api_client).json()
    done(accepted["id"])
    address = accepted["links"]["self"]
    eve = stranger()

    for path in (address, f"{address}/csv", f"{address}/xlsx"):
        assert_problem(eve.get(path), 404)
    assert eve.get("/api/reports").json()["items"] == []
    boss = get_user_model().objects.create(username="boss", is_staff=True)
    assert Client(headers={"Authorization": f"Bearer {issue_token(boss, 'boss')}"}).get(f"{address}/csv").status_code == 302


def test_a_daily_report_is_nobodys(api_client: Any) -> None:
    services.generate_daily_reports(TODAY - timedelta(days=1))

    assert_problem(api_client.get(f"/api/reports/{Report.objects.get().pk}"), 404)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/reports/00000000-0000-4000-8000-000000000000", 404),
        ("/api/reports/00000000-0000-4000-8000-000000000000/csv", 404),
        ("/api/reports/x", 422),
        ("/api/reports/%00", 422),
        ("/api/reports/00000000-0000-4000-8000-000000000000/exe", 422),
        ("/api/reports/00000000-0000-4000-8000-000000000000/..%2fcsv", 404),
        ("/api/reports?limit=0", 422),
        ("/api/reports?limit=x", 422),
        ("/api/reports?cursor=x", 422),
        ("/api/reports?cursor=%00", 422),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_a_problem(api_client: Any, path: str, status: int) -> None:
    assert_problem(api_client.get(path), status)


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Bearer mr_" + "x" * 43])
def test_without_a_live_token_there_is_no_answer(authorization: str | None) -> None:
    client = Client(headers={} if authorization is None else {"Authorization": authorization})

    assert_problem(post(client), 401)
    assert_problem(client.get(f"/api/reports/{uuid.uuid4()}/csv"), 401)


def test_the_same_key_gets_the_same_answer_and_no_second_report(api_client: Any) -> None:
    first, again = post(api_client, key="k"), post(api_client, key="k")

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again["Idempotent-Replayed"] == "true"
    assert_problem(post(api_client, key="k", department=None), 422)
    assert Report.objects.count() == OutboxMessage.objects.count() == 1


def test_a_list_is_read_page_by_page_newest_first(api_client: Any) -> None:
    for _ in range(5):
        post(api_client)

    read: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api_client.get("/api/reports", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        read += [report["id"] for report in page["items"]]
        cursor = page["next_cursor"]
    assert read == [str(report.pk) for report in Report.objects.order_by("-created_at", "-id")]


# -- pages -----------------------------------------------------------------------------------------------------------------


def test_only_staff_sees_reports(owner: Any) -> None:
    client = Client()
    assert client.get("/reports/").status_code == 302
    client.force_login(owner)
    for path in ("/reports/", f"/reports/{uuid.uuid4()}/", f"/reports/{uuid.uuid4()}/live/", f"/reports/{uuid.uuid4()}/csv/"):
        assert client.get(path).status_code in (302, 403)


def test_the_pages_show_a_report_on_its_way_and_done(staff: Client, api_client: Any, books: int, storage: Any) -> None:
    assert "No reports yet" in staff.get("/reports/").content.decode()
    report_id = post(api_client).json()["id"]
    page = f"/reports/{report_id}/"
    assert "Waiting for a worker" in staff.get(page).content.decode()
    report = Report.objects.get()
    checkpoints.take(report.work).save(state={}, current=30, total=120, label="step 2 of 6: reading returns", counts={"rows": 30})
    for path in (page, f"{page}live/"):
        running = staff.get(path).content.decode()
        assert "Step 2 of 6: reading returns." in running
        assert 'max="100" value="25"' in running
    assert "25 %" in staff.get("/reports/").content.decode()
    assert staff.get(f"{page}csv/").status_code == 404

    Report.objects.all().delete()
    report_id = post(api_client).json()["id"]
    done(report_id)
    finished = staff.get(f"/reports/{report_id}/").content.decode()
    assert "All files are stored." in finished
    assert "EUR" in finished
    redirected = staff.get(f"/reports/{report_id}/pdf/")
    assert redirected.status_code == 302
    assert staff.get(f"/reports/{report_id}/exe/").status_code == 404
    assert report_id in staff.get("/reports/", {"state": "done"}).content.decode()
    assert "No report is failed." in staff.get("/reports/", {"state": "failed"}).content.decode()


def test_a_report_that_failed_says_why(staff: Client, api_client: Any) -> None:
    post(api_client)
    now = datetime.now(UTC)
    Report.objects.update(state="failed", failure_reason="It was begun too often.", finished_at=now)

    assert "It was begun too often." in staff.get(f"/reports/{Report.objects.get().pk}/").content.decode()
    assert api_client.get("/api/reports").json()["items"][0]["failure"] == "It was begun too often."


@pytest.mark.parametrize("query", [{"state": "\0"}, {"page": "x"}, {"page": "9" * 30}])
def test_a_strange_query_is_no_error(staff: Client, query: dict[str, str]) -> None:
    assert staff.get("/reports/", query).status_code == 200


def test_the_admin_shows_reports_and_changes_departments_only(staff: Client, api_client: Any) -> None:
    report_id = post(api_client).json()["id"]

    assert staff.get("/admin/reports/report/").status_code == 200
    assert staff.get("/admin/reports/report/add/").status_code == 403
    assert staff.post(f"/admin/reports/report/{report_id}/change/", {"state": "failed"}).status_code == 403
    assert staff.get("/admin/reports/department/toys/change/").status_code == 200
    assert staff.post("/admin/reports/department/toys/change/", {"name": "Play", "is_active": ""}).status_code == 302
    assert list(Department.objects.values_list("code", "name", "is_active")) == [("toys", "Play", False)]
