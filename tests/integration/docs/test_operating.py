"""What runbooks and how-tos give to Django's shell in a deployed stage runs, against a real PostgreSQL."""

import pytest

from scripts.cloud.operate import read_order
from tests.integration.docs.operated import OPERATING, operated

pytestmark = pytest.mark.django_db

SHELLS = [
    pytest.param(order.command[order.command.index("--command") + 1], id=f"{page.stem}-{number}")
    for page in OPERATING
    for number, order in enumerate(map(read_order, operated(page)))
    if order.command[:1] == ["shell"]
]


@pytest.mark.parametrize("code", SHELLS)
def test_what_is_given_to_the_shell_runs(code: str) -> None:
    exec(compile(code, "<page>", "exec"), {})  # noqa: S102 — our own pages


def test_a_page_has_something_for_the_shell() -> None:
    assert {str(code.id).rpartition("-")[0] for code in SHELLS} >= {"outbox-lag", "database-at-capacity", "schedule-lag", "deploy"}
