"""The image, as far as it can be known without a Docker engine. docs/reference/image.md says what that leaves open."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.topology import TOPOLOGY
from tests.image.dockerfile import BuildStage, IgnoreFile, follow, read_dockerfile

REPOSITORY = Path(__file__).resolve().parents[2]
HEAD, STAGES = read_dockerfile((REPOSITORY / "Dockerfile").read_text())
BUILDER, RUNTIME = STAGES
IGNORED = IgnoreFile((REPOSITORY / ".dockerignore").read_text())

#: Steps that would change the machine that tests, with the reason.
NOT_RUN_HERE = {
    r"python -m pip uninstall .* pip && useradd .* millrace && mkdir .* && chown .*": "removes the pip of the system's Python and makes a user and its directory, as root",
}


# -- what the image runs --------------------------------------------------------------------------------------------
def test_the_default_command_is_the_web_service_s() -> None:
    assert tuple(RUNTIME.last("CMD").words()) == TOPOLOGY.service("web").command


def test_it_is_not_root() -> None:
    assert RUNTIME.last("USER").value == "10001:10001"
    assert "useradd --uid 10001 " in RUNTIME.last("RUN").value


def test_nothing_is_written_or_run_after_root_was_left() -> None:
    position = RUNTIME.instructions.index(RUNTIME.last("USER"))

    assert {instruction.keyword for instruction in RUNTIME.instructions[position:]}.isdisjoint({"RUN", "COPY"})


def test_it_stops_on_sigterm() -> None:
    assert RUNTIME.last("STOPSIGNAL").value == "SIGTERM"


def test_it_asks_a_module_that_exists_whether_it_is_healthy() -> None:
    options, _, command = RUNTIME.last("HEALTHCHECK").value.partition("CMD ")

    assert command == '["python", "-m", "app.config.probe"]'
    assert re.fullmatch(r"(--[a-z-]+=\w+ )*", options)
    assert '__name__ == "__main__"' in (REPOSITORY / "app/config/probe.py").read_text()


def test_python_writes_nothing_and_buffers_nothing() -> None:
    environment = RUNTIME.all("ENV")[0].pairs()

    assert (environment["PYTHONDONTWRITEBYTECODE"], environment["PYTHONUNBUFFERED"]) == ("1", "1")
    assert environment["HOME"] == "/tmp"  # noqa: S108 — the only place that is writable
    assert environment["PATH"] == "/opt/venv/bin:$PATH"
    assert environment["PYTHONPATH"] == RUNTIME.last("WORKDIR").value


def test_it_knows_its_release() -> None:
    assert RUNTIME.last("ARG").value == "RELEASE=development"
    assert RUNTIME.last("ENV").pairs() == {"RELEASE": "${RELEASE}"}
    labels = RUNTIME.last("LABEL").pairs()
    assert labels["org.opencontainers.image.version"] == labels["org.opencontainers.image.revision"] == "${RELEASE}"


def test_no_environment_variable_is_unknown_to_the_topology() -> None:
    ours = {name for instruction in RUNTIME.all("ENV") for name in instruction.pairs() if not name.startswith("PYTHON")}

    assert ours - {"PATH", "HOME"} <= {variable.name for variable in TOPOLOGY.variables}


# -- what gets in ---------------------------------------------------------------------------------------------------
def test_both_stages_begin_at_the_same_pinned_minor_version() -> None:
    assert [instruction.value for instruction in HEAD] == [f"PYTHON_IMAGE=python:{_python_of_image()}-slim"]
    assert {stage.base for stage in STAGES} == {"${PYTHON_IMAGE}"}


def _python_of_image() -> str:
    match = re.search(r"^ARG PYTHON_IMAGE=python:(3\.\d+)-slim$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert match
    return match[1]


def test_the_second_stage_takes_the_environment_and_the_application_and_nothing_else() -> None:
    assert [instruction.value for instruction in RUNTIME.all("COPY")] == [
        "--from=builder /opt/venv /opt/venv",
        "--from=builder /srv/millrace/app /srv/millrace/app",
    ]
    assert [instruction.value for instruction in BUILDER.all("COPY")] == ["requirements.txt ./", "app/ app/"]


def test_the_context_holds_the_application_and_its_lock_only() -> None:
    files = IGNORED.context(REPOSITORY)

    assert {name.partition("/")[0] for name in files} == {"app", "requirements.txt"}
    assert {"app/manage.py", "app/topology/__init__.py", "app/config/wsgi.py"} <= set(files)
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.parametrize(
    "path",
    [
        *(
            ".env",
            ".git/config",
            ".venv/bin/python",
            "var/postgres/PG_VERSION",
            "tests/unit/test_x.py",
            "infra/app.py",
            "cdk.out/tree.json",
        ),
        *("requirements-dev.txt", "infra/requirements.txt", "Dockerfile", "README.md", "scripts/synth", "docs/runbooks/outbox-lag.md"),
        *("app/__pycache__/x.cpython-313.pyc", "app/engine/broker/__pycache__/x.pyc", "app/engine/x.pyo", "applications/x.py"),
    ],
)
def test_what_is_none_of_the_image_s_business_stays_outside(path: str) -> None:
    assert IGNORED.is_ignored(path)


@pytest.mark.parametrize(
    "path", ["app/__init__.py", "app/console/static/app.css", "app/console/templates/console/a.html", "requirements.txt"]
)
def test_what_the_image_needs_gets_in(path: str) -> None:
    assert not IGNORED.is_ignored(path)


def test_only_locked_wheels_are_installed() -> None:
    (install,) = (step.value for step in BUILDER.all("RUN") if " install " in step.value)

    assert " --require-hashes -r requirements.txt" in install
    assert " --only-binary :all: " in install
    assert "index-url" not in install


# -- the lock -------------------------------------------------------------------------------------------------------
LOCKS = ("requirements.txt", "requirements-dev.txt", "infra/requirements.txt", "benchmarks/requirements.txt")


def _locked(path: str) -> dict[str, str]:
    """Each requirement of a locked file by its name, with everything that belongs to it on one line."""
    text = (REPOSITORY / path).read_text()
    lines = re.sub(r"\\\n", " ", text).splitlines()
    entries = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {re.split(r"[=\[ ]", line, maxsplit=1)[0].lower().replace("_", "-"): line for line in entries}


@pytest.mark.parametrize("path", LOCKS)
def test_every_package_is_pinned_and_carries_a_hash(path: str) -> None:
    locked = _locked(path)
    assert locked

    for name, line in locked.items():
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ ", line), f"{name}: {line[:80]}"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), name


@pytest.mark.parametrize("path", LOCKS)
def test_no_lock_names_an_index_or_an_address(path: str) -> None:
    text = (REPOSITORY / path).read_text()

    assert not re.search(r"index-url|find-links|trusted-host|://", text)


def test_nothing_of_the_tests_or_of_the_cdk_is_a_runtime_requirement() -> None:
    assert not {"aws-cdk-lib", "constructs", "jsii", "moto", "pytest", "mypy", "ruff", "playwright", "psutil"} & set(
        _locked("requirements.txt")
    )


# -- the steps ------------------------------------------------------------------------------------------------------
def test_every_step_is_run_here_or_is_named_with_a_reason() -> None:
    not_run = [step.value for step in RUNTIME.all("RUN")]

    assert len(not_run) == len(NOT_RUN_HERE)
    assert all(any(re.fullmatch(pattern, step) for pattern in NOT_RUN_HERE) for step in not_run)


def _interpreter() -> Path:
    """The image's Python if this machine has it, or else the one that runs the tests."""
    minor = _python_of_image()
    for candidate in (shutil.which(f"python{minor}"), *Path.home().glob(f".pyenv/versions/{minor}.*/bin/python")):
        if candidate and subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return Path(candidate)
    return Path(sys.executable)


def _snapshot(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_builder_s_steps_make_an_environment_that_imports_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = _interpreter()
    clean = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key in ("SSL_CERT_FILE", "HTTPS_PROXY")}
    environment = {**clean, "PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}

    commands = _followed(BUILDER, tmp_path, environment)

    assert len(commands) == len(BUILDER.all("RUN"))
    before = _snapshot(tmp_path)
    imports = "import app.topology, aws_lambda_powertools, boto3, celery, csp, django_celery_beat, gunicorn.app.wsgiapp, psycopg, pycurl, pydantic_settings, stripe"
    told = _environment_of_image(tmp_path)
    run = subprocess.run(
        ["python", "-c", f"{imports}, sys; print(sys.prefix, sys.version.split()[0])"],
        cwd=tmp_path / "srv/millrace",
        env=told,
        capture_output=True,
        text=True,
        check=True,
    )
    prefix, version = run.stdout.split()
    assert prefix == str(tmp_path / "opt/venv")
    assert _snapshot(tmp_path) == before
    with capsys.disabled():
        print(f"\nthe builder's steps ran under Python {version}; the image has {_python_of_image()}")  # noqa: T201 — a person should know which


def _followed(stage: BuildStage, root: Path, environment: dict[str, str]) -> list[str]:
    try:
        return follow(stage, context=REPOSITORY, files=IGNORED.context(REPOSITORY), root=root, environment=environment)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error.cmd[-1]}\n{error.stdout[-2000:]}\n{error.stderr[-2000:]}")


def _environment_of_image(root: Path) -> dict[str, str]:
    """ENV of the second stage, with its paths below ``root``."""
    declared = RUNTIME.all("ENV")[0].pairs()
    moved = {name: re.sub(r"^/(opt|srv)\b", rf"{root}/\1", value) for name, value in declared.items()}
    return {**moved, "PATH": moved["PATH"].replace("$PATH", "/usr/bin:/bin")}
