"""docs/how-to/call-a-partner.md: the right way counts and refuses as it says, and the wrong ones do the harm that they are shown for."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from app.engine.outbound import client
from app.engine.outbound.errors import CallRefused
from tests.integration.docs.pages import code_of, execute
from tests.integration.integrations.conftest import PAYLOAD

pytestmark = pytest.mark.django_db
ENDPOINT, URL_OF_A_USER, ASK, FOR_EVER, OWN_BREAKER, SEARCH = code_of("call-a-partner.md")


@pytest.fixture
def page(partner: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"Search": object, "BASE": partner.url}
    for code in (ENDPOINT, ASK, SEARCH):
        execute(code, known)
    known["SEARCH"] = replace(known["SEARCH"], path="/v1/shipping/quotes")
    known["client"] = lambda: SimpleNamespace(send=_send_with_key)
    return known


def _send_with_key(method: str, url: str, *, json: Any, headers: dict[str, str]) -> Any:
    return client().send(method, url, json=json, headers=headers | {"Authorization": "Bearer key"})


def ask(page: dict[str, Any], key: str) -> Any:
    return page["ask"](page["BASE"], page["SEARCH"], PAYLOAD, idempotency_key=key)


def came(partner: Any, key: str) -> int:
    return sum(entry["idempotency_key"] == key for entry in partner.journal("quote"))


def test_five_failures_open_it_and_then_nothing_leaves_and_the_row_is_told(page: dict[str, Any], partner: Any) -> None:
    assert ask(page, "how-to-good").status == 200
    partner.fault("quote", "error_500", times=5)
    for _ in range(5):
        with pytest.raises(page["CatalogueFails"]):
            ask(page, "how-to-failing")

    told: list[str] = []
    row = SimpleNamespace(pk="how-to", payload=PAYLOAD, note_postponed=lambda: told.append("postponed"))
    with pytest.raises(page["CircuitOpen"]):
        page["search"](row)

    assert told == ["postponed"]
    assert (came(partner, "how-to-failing"), came(partner, "search-how-to")) == (5, 0)


def test_what_the_partner_refuses_is_an_answer_and_opens_nothing(page: dict[str, Any], partner: Any) -> None:
    partner.fault("quote", "deny", times=6)
    assert {ask(page, f"how-to-denied-{number}").status for number in range(6)} == {422}
    assert ask(page, "how-to-after").status == 200


def test_a_url_of_a_user_reaches_what_is_ours_and_the_client_does_not(gateway: Any) -> None:
    known: dict[str, Any] = {"requests": requests}
    execute(URL_OF_A_USER, known)
    ours = f"{gateway.url}/_journal"

    assert known["look_up"](ours).startswith("[")
    with pytest.raises(CallRefused):
        client().send("GET", ours)


def test_a_breaker_of_one_process_says_nothing_to_another(gateway: Any) -> None:
    processes: list[dict[str, Any]] = [{"requests": requests}, {"requests": requests}]
    for known in processes:
        execute(OWN_BREAKER, known)
    processes[0]["FAILURES"]["catalogue"] = 5

    with pytest.raises(RuntimeError, match="open"):
        processes[0]["ask_unless_it_failed_here"](f"{gateway.url}/_journal")
    assert processes[1]["ask_unless_it_failed_here"](f"{gateway.url}/_journal").startswith("[")


def test_the_call_without_a_time_out_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def post(_url: str, **options: Any) -> Any:
        given.append(options)
        return SimpleNamespace(text="")

    known: dict[str, Any] = {"requests": SimpleNamespace(post=post)}
    execute(FOR_EVER, known)
    known["ask_for_ever"]("http://catalogue.example.com", {})
    assert "timeout" not in given[0]
