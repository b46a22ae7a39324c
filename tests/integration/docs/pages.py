"""The Python of a page, executed in its order as one module of the example app ``library``."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from celery import _state
from django.apps import apps
from django.db import connection, models

from tests.support.environment import REPOSITORY

_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_of(page: str) -> list[str]:
    """The snippets of a how-to. Tasks of ``library`` have names that the shop's routes carry."""
    text = (REPOSITORY / "docs" / "how-to" / page).read_text()
    return [code.replace('"library.', '"engine.library_') for code in _PYTHON.findall(text)]


def execute(code: str, known: dict[str, Any]) -> None:
    """Its ``@shared_task`` is the current application's and no later one's: other tests make applications."""
    known.setdefault("__name__", __name__)
    shared = set(_state._on_app_finalizers)
    exec(compile(code, "<how-to>", "exec"), known)  # noqa: S102 — our own page
    _state._on_app_finalizers.intersection_update(shared)


@contextmanager
def library(**modules: dict[str, Any]) -> Iterator[None]:
    """``library(models={"Loan": Loan})``: the example app can be imported meanwhile."""
    names = ["app.workload.library", *(f"app.workload.library.{module}" for module in modules)]
    made = {name: ModuleType(name) for name in names}
    for module, members in modules.items():
        made[f"app.workload.library.{module}"].__dict__.update(members)
        setattr(made["app.workload.library"], module, made[f"app.workload.library.{module}"])
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextmanager
def tables(**fields: dict[str, Any]) -> Iterator[dict[str, type[models.Model]]]:
    """Models of the app ``library`` with tables, for one test: ``tables(Loan={"book_id": models.IntegerField()})``."""
    made = {
        name: type(name, (models.Model,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "library"}), **columns})
        for name, columns in fields.items()
    }
    try:
        with connection.schema_editor() as editor:
            for model in made.values():
                editor.create_model(model)
        yield made
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(made.values()):
                editor.delete_model(model)
        apps.all_models.pop("library", None)
        apps.clear_cache()
