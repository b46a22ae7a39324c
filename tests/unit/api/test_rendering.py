"""Moments in the API's answers."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.test import RequestFactory
from ninja.renderers import JSONRenderer

from app.api.rendering import UniformRenderer
from app.config.urls import api

WHOLE = datetime(2026, 11, 26, 13, 51, 15, tzinfo=UTC)


def rendered(moment: datetime, renderer: JSONRenderer) -> str:
    answer = renderer.render(RequestFactory().get("/"), {"at": moment}, response_status=200)
    return str(json.loads(answer)["at"])


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (WHOLE, "2026-11-26T13:51:15.000Z"),
        (WHOLE.replace(microsecond=873_999), "2026-11-26T13:51:15.873Z"),
        (WHOLE.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-11-26T13:51:15.000Z"),
    ],
)
def test_a_moment_has_one_form(moment: datetime, text: str) -> None:
    assert rendered(moment, UniformRenderer()) == text


def test_the_api_sorts_a_whole_second_as_it_happened() -> None:
    moments = [WHOLE + timedelta(milliseconds=milliseconds) for milliseconds in (-1, 0, 1, 873)]

    assert isinstance(api.renderer, JSONRenderer)
    texts = [rendered(moment, api.renderer) for moment in moments]

    assert texts == sorted(texts)
