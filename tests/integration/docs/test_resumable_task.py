"""docs/how-to/write-a-resumable-task.md: the right way goes on where it stopped, and the wrong one does not."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import models, transaction

from app.engine.progress import checkpoints
from app.engine.progress.errors import Overtaken
from tests.integration.docs.pages import code_of, execute, library, tables

pytestmark = pytest.mark.django_db(transaction=True)
LISTING = 7
WRONG, *RIGHT = code_of("write-a-resumable-task.md")


class Killed(BaseException):
    """Nothing that the code catches."""


class Page:
    """What the page defines, on seven loans in parts of two."""

    def __init__(self, made: dict[str, Any]) -> None:
        self.models = SimpleNamespace(**made)
        self.stored: dict[str, list[int]] = {}
        self.published: list[tuple[str, Any]] = []
        self.before_part: Callable[[int], None] = lambda _number: None
        self.models.Listing.objects.create(pk=LISTING)
        self.models.Loan.objects.bulk_create(self.models.Loan() for _ in range(7))
        self.known: dict[str, Any] = {
            "store_part": self._store_part,
            "store_listing": lambda listing_id, fence: f"listing/{listing_id}/{fence}/listing.csv",
            "publish": lambda task, **arguments: self.published.append((task, arguments)),
            "SoftTimeLimitExceeded": SoftTimeLimitExceeded,
            "connect_anew": lambda: None,
            **made,
        }
        with library(models=made):
            for code in RIGHT:
                execute(code, self.known)
        self.known["LOANS_PER_PART"] = 2

    def _store_part(self, listing_id: int, fence: int, loans: list[Any]) -> str:
        number = len(self.stored) + 1
        self.before_part(number)
        name = f"listing/{listing_id}/{fence}/part-{number}.csv"
        self.stored[name] = [loan.pk for loan in loans]
        return name

    def run(self, job: str = "job") -> None:
        self.known["list_loans"](LISTING, SimpleNamespace(id=job, properties={}))

    def listed(self) -> list[int]:
        """The loans of the parts that count."""
        return [loan for part in self.models.ListingPart.objects.order_by("pk") for loan in self.stored[part.name]]

    def loans(self) -> list[int]:
        return list(self.models.Loan.objects.order_by("pk").values_list("pk", flat=True))


@pytest.fixture
def page() -> Iterator[Page]:
    text = models.CharField(max_length=200, default="")
    with tables(Loan={}, Listing={"name": text}, ListingPart={"listing_id": models.IntegerField(), "name": text.clone()}) as made:
        yield Page(made)


def test_a_run_that_is_killed_is_followed_by_one_that_goes_on_and_each_loan_is_listed_once(page: Page) -> None:
    def die(number: int) -> None:
        if number == 3:
            raise Killed

    page.before_part = die
    with pytest.raises(Killed):
        page.run()
    assert (len(page.listed()), page.known["percent_of"](LISTING)) == (4, 57)

    page.before_part = lambda _number: None
    page.run("the next job")

    assert page.listed() == page.loans()
    assert page.published == [("engine.library_delete_parts", {"listing_id": LISTING})]
    assert page.models.Listing.objects.get().name == f"listing/{LISTING}/2/listing.csv"


def test_of_two_runs_the_later_one_has_the_work(page: Page) -> None:
    def overtake(number: int) -> None:
        if number == 2:
            page.before_part = lambda _number: None
            page.run("another job")

    page.before_part = overtake
    with pytest.raises(Overtaken):
        page.run()

    assert page.listed() == page.loans()
    assert page.models.Listing.objects.get().name == f"listing/{LISTING}/2/listing.csv"


@pytest.mark.parametrize("is_overtaken", [False, True])
def test_the_time_limit_enqueues_the_work_again_if_the_run_still_holds_it(page: Page, is_overtaken: bool) -> None:
    def list_parts(listing_id: int, track: checkpoints.Track) -> None:
        with transaction.atomic():
            track.save(state={"after": 2}, current=2)
        if is_overtaken:
            checkpoints.take(f"library.listing:{listing_id}".replace("library.", "engine.library_"), SimpleNamespace(id="b", properties={}))
        raise SoftTimeLimitExceeded

    page.known["list_parts"] = list_parts
    go_on = page.known["list_loans_or_go_on_later"]
    request = SimpleNamespace(id="a", properties={})
    if is_overtaken:
        with pytest.raises(Overtaken):
            go_on(LISTING, request)
        assert page.published == []
    else:
        go_on(LISTING, request)
        assert page.published == [("engine.library_list_loans", {"listing_id": LISTING})]


def test_the_wrong_way_begins_again_and_has_written_what_does_not_count(page: Page) -> None:
    page.models.Loan.objects.bulk_create(page.models.Loan() for _ in range(1500))
    written: list[int] = []

    def write(_listing_id: int, loans: list[Any]) -> None:
        if len(written) == 1:
            written.append(-1)
            raise Killed
        written.append(loans[0].pk)

    known: dict[str, Any] = {"Loan": page.models.Loan, "transaction": transaction, "write": write}
    execute(WRONG, known)
    with pytest.raises(Killed):
        known["list_loans"](LISTING)
    known["list_loans"](LISTING)

    first, second = page.loans()[0], page.loans()[1000]
    assert written == [first, -1, first, second]
