"""What stands in which room."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.topology import TOPOLOGY
from tests.support.environment import REPOSITORY

APP = REPOSITORY / "app"
ENGINE = APP / "engine"
QUEUE_NAMES = {queue.name for queue in TOPOLOGY.queues}
#: Django's and Python's word as well: the name of the database and of the storage, a keyword of every mapping.
DJANGO_S_WORD = "default"


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


EVERY_MODULE = modules("app")
TREES: dict[Path, ast.Module] = {path: ast.parse(path.read_text(encoding="utf-8")) for path in modules("app", "infra")}


def used_names(tree: ast.AST) -> Iterator[str]:
    """Dotted names that are read: ``os.environ``, ``print``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed_default(tree: ast.AST) -> set[ast.AST]:
    """Where "default" is Django's: ``connections["default"]``, ``DATABASES["default"]``, ``using="default"``."""
    allowed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in {"connections", "DATABASES", "STORAGES"}:
            allowed.add(node.slice)
        elif isinstance(node, ast.keyword) and node.arg in {"using", "alias", "database"}:
            allowed.add(node.value)
    return allowed


def queue_names_in(tree: ast.AST) -> list[tuple[int, str]]:
    allowed = allowed_default(tree)
    return sorted(
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in QUEUE_NAMES
        and not (node.value == DJANGO_S_WORD and node in allowed)
    )


@pytest.mark.parametrize("path", modules("app/engine", "app/console", "app/api", "infra"), ids=name)
def test_no_queue_is_named_outside_topology_and_workload(path: Path) -> None:
    assert queue_names_in(TREES[path]) == []


def test_a_queue_that_is_named_would_be_found_and_django_s_word_is_left_alone() -> None:
    source = 'send(queue="emails")\nsend(queue="default")\nconnections["default"]\nModel.objects.using(using="default")\n"""default"""\n'

    assert queue_names_in(ast.parse(source)) == [(1, "emails"), (2, "default"), (5, "default")]


@pytest.mark.parametrize("path", [path for path in EVERY_MODULE if name(path) != "app/config/environment.py"], ids=name)
def test_nothing_but_the_environment_module_reads_the_environment(path: Path) -> None:
    assert {"os.environ", "os.getenv", "os.putenv", "os.environb"}.isdisjoint(used_names(TREES[path]))


@pytest.mark.parametrize(
    "child", sorted({path.stem for path in APP.iterdir() if path.is_dir() or path.suffix == ".py"} - {"__init__", "__pycache__"})
)
def test_no_child_of_app_hides_a_module_of_others(child: str) -> None:
    assert child not in sys.stdlib_module_names
    assert child not in importlib.metadata.packages_distributions()


@pytest.mark.parametrize(
    "package", sorted(path.parent for path in ENGINE.glob("*/__init__.py") if path.parent.name != "management"), ids=lambda path: path.name
)
def test_a_capability_answers_in_order_what_limit_use_stores_emits(package: Path) -> None:
    docstring = ast.get_docstring(TREES[package / "__init__.py"]) or ""
    answers = [re.search(rf"(?:^|(?<=[.\s])){word}: \S", docstring) for word in ("Limit", "Use", "Stores", "Emits")]

    assert docstring.splitlines()[0].endswith((".", "?")), "the first line says what it does"
    assert all(answers), [bool(answer) for answer in answers]
    positions = [answer.start() for answer in answers if answer]
    assert positions[0] > 0
    assert positions == sorted(positions)


#: One writes EMF, the other answers the container's health check: standard output is their purpose.
SPEAKERS = {"app/engine/metrics/emf.py", "app/config/probe.py"}


@pytest.mark.parametrize("path", EVERY_MODULE, ids=name)
def test_nothing_prints_or_stops_for_a_debugger(path: Path) -> None:
    used = set(used_names(TREES[path]))

    assert {"breakpoint", "pdb.set_trace"}.isdisjoint(used)
    assert "print" not in used or name(path) in SPEAKERS


STORES = ("app/engine/aws/", "app/engine/broker/", "app/engine/circuit_breaker/", "app/engine/ledger/", "app/engine/workers/")


@pytest.mark.parametrize("path", EVERY_MODULE, ids=name)
def test_above_a_store_nobody_sees_aws_s_errors(path: Path) -> None:
    imported = {used for used in used_names(TREES[path]) if used.startswith("botocore.")}

    assert not imported or name(path).startswith(STORES)


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "misc", "base"])
def test_every_module_is_a_concept_with_a_name(word: str) -> None:
    assert [name(path) for path in EVERY_MODULE if word in {path.stem, path.parent.name}] == []


@pytest.mark.parametrize("path", [path for path in EVERY_MODULE if path.name == "apps.py"], ids=name)
def test_the_package_of_a_django_app_imports_nothing(path: Path) -> None:
    tree = TREES[path.parent / "__init__.py"]

    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == []
