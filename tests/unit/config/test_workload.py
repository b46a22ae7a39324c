"""What the composition root names exists."""

from datetime import timedelta
from importlib import import_module

import pytest
from celery import current_app
from django.apps import apps
from django.urls import get_resolver
from django.utils.module_loading import import_string
from ninja import Router

from app.config import workload
from app.config.schedule import SCHEDULE


@pytest.mark.parametrize("name", workload.APPS)
def test_every_application_is_installed_and_belongs_to_the_workload(name: str) -> None:
    assert name in {config.name for config in apps.get_app_configs()}


@pytest.mark.parametrize(("mount_point", "router"), workload.API_ROUTERS.items())
def test_every_router_exists_beneath_a_path_of_its_own(mount_point: str, router: str) -> None:
    assert mount_point.startswith("/")
    assert isinstance(import_string(router), Router)


@pytest.mark.parametrize(("mount_point", "urls"), workload.PAGES.items())
def test_every_page_exists_beneath_a_path_of_its_own(mount_point: str, urls: str) -> None:
    assert mount_point.endswith("/")
    assert not mount_point.startswith("/")
    assert import_module(urls).urlpatterns


def test_every_address_resolves_to_something() -> None:
    assert get_resolver().url_patterns


@pytest.mark.parametrize(("entry", "schedule"), SCHEDULE.items())
def test_every_declared_schedule_starts_a_task_that_exists_at_a_sane_pace(entry: str, schedule: dict[str, object]) -> None:
    assert schedule["task"] in current_app.tasks
    every = schedule["schedule"]
    assert not isinstance(every, timedelta) or every >= timedelta(seconds=1)
