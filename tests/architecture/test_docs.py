"""The documentation is true as far as a machine can tell: links lead somewhere, paths exist, snippets parse, generated pages are fresh."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
HEADINGS = ["Question", "Choice", "Cost", "Reconsider when"]
LONGEST_README = 150
LONGEST_DECISION = 60
#: Made by the reader, in examples; absent here on purpose.
EXAMPLE_APP = "app/workload/library"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE_PATH = re.compile(r"(?:app|infra|scripts|docs|tests)(?:/[\w.-]+)+/?")


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The page without its fenced snippets."""
    return _FENCE.sub("", text_of(page))


def snippets(page: Path, *languages: str) -> list[str]:
    return [code for language, code in _FENCE.findall(text_of(page)) if language in languages]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    }


def dead_links(page: Path, text: str) -> list[str]:
    dead = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and (target.is_dir() or anchor not in anchors_of(target))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    assert dead_links(page, prose_of(page)) == []


def test_a_dead_link_would_be_found() -> None:
    page = REPOSITORY / "README.md"

    assert dead_links(page, "[a](docs/index.md) [b](docs/nowhere.md) [c](#run-it) [d](#run-away) [e](docs/index.md#nothing)") == [
        "docs/nowhere.md",
        "#run-away",
        "docs/index.md#nothing",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_that_is_named_exists(page: Path) -> None:
    named = {code for code in re.findall(r"`([^`\n]+)`", prose_of(page)) if _CODE_PATH.fullmatch(code)}

    assert {path for path in named if not (REPOSITORY / path).exists() and not path.startswith(EXAMPLE_APP)} == set()


def test_every_page_is_reached_from_the_index() -> None:
    index = DOCS / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(text_of(index))}

    assert [name(page) for page in DOCS.rglob("*.md") if page != index and page not in linked] == []


def test_the_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "reference", "--check"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_glossary_is_in_alphabetical_order_and_names_each_term_once() -> None:
    terms = [term.lower() for term in re.findall(r"^### (.+)$", text_of(DOCS / "glossary.md"), re.MULTILINE)]

    assert terms == sorted(set(terms))


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_is_a_page_that_answers_in_the_same_order(page: Path) -> None:
    text = text_of(page)

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert text.startswith(f"# {page.name[:4]} ")
    assert len(text.splitlines()) <= LONGEST_DECISION


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


def test_the_readme_is_short() -> None:
    assert len(text_of(REPOSITORY / "README.md").splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_snippets_parse(page: Path) -> None:
    for code in snippets(page, "python"):
        ast.parse(code, filename=name(page))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_snippets_import_what_exists(page: Path) -> None:
    for code in snippets(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("app.", "scripts.")):
                path = REPOSITORY / str(node.module).replace(".", "/")
                exists = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
                assert exists or str(node.module).startswith(EXAMPLE_APP.replace("/", ".")), node.module


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shell_snippets_start_scripts_that_exist(page: Path) -> None:
    for code in snippets(page, "sh"):
        for script in re.findall(r"(?:^|[\s(])(scripts/[\w/.-]+)", code):
            path = REPOSITORY / script
            assert path.is_file(), script
            assert os.access(path, os.X_OK), script


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_snippet_says_what_it_is(page: Path) -> None:
    unnamed = [code for language, code in _FENCE.findall(text_of(page)) if not language]

    assert unnamed == [] or page == DOCS / "reference" / "image.md"
