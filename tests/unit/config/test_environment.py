"""The environment is right, or the process ends with everything that is wrong with it."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config.environment import Environment, EnvironmentInvalid, read_environment
from app.topology import TOPOLOGY
from tests.support.environment import environment

SECRETS = [variable.name for variable in TOPOLOGY.variables if variable.secret]
REQUIRED = [variable.name for variable in TOPOLOGY.variables if variable.default is None]
NAMES = [variable.name for variable in TOPOLOGY.variables]
FIELDS = {str(field.alias): name for name, field in Environment.model_fields.items()}

ReadWith = Callable[..., Environment]


def reading(values: Mapping[str, str]) -> Environment:
    """Read an environment that holds these variables and nothing else."""
    with patch.dict(os.environ, values, clear=True):
        return read_environment()


def read(**changes: str) -> Environment:
    return reading(environment(**changes))


def refused(**changes: str) -> str:
    with pytest.raises(EnvironmentInvalid) as raised:
        read(**changes)
    return str(raised.value)


# -- what is declared -----------------------------------------------------------------------------------------------------


def test_what_the_topology_declares_has_a_type_and_what_has_a_type_is_declared() -> None:
    assert set(FIELDS) == set(NAMES)


def test_the_environment_of_the_tests_is_valid() -> None:
    assert read().name_prefix == "millrace-test"


@pytest.mark.parametrize("variable", [one for one in TOPOLOGY.variables if one.default is not None], ids=lambda one: one.name)
def test_a_default_is_the_topology_s_and_is_valid_itself(variable: Any) -> None:
    values = environment()
    values.pop(variable.name, None)

    value = getattr(reading(values), FIELDS[variable.name])

    assert str("" if value is None else value) == variable.default


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_is_named_with_its_purpose(name: str) -> None:
    values = environment()
    del values[name]

    with pytest.raises(EnvironmentInvalid) as raised:
        reading(values)

    purpose = next(variable.purpose for variable in TOPOLOGY.variables if variable.name == name)
    assert f"  {name}: expected a value, got nothing. {purpose}" in str(raised.value).splitlines()


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(EnvironmentInvalid) as raised:
        reading({"WEB_THREADS": "many", "NAME_PREFIX": "No"})

    first, *problems = str(raised.value).splitlines()
    assert "docs/reference/variables.md" in first
    assert [problem.split(":")[0].strip() for problem in problems] == sorted([*REQUIRED, "WEB_THREADS", "NAME_PREFIX"])


def test_the_problem_ends_the_process_with_its_text() -> None:
    assert issubclass(EnvironmentInvalid, SystemExit)
    with pytest.raises(EnvironmentInvalid) as raised:
        reading({})
    assert raised.value.code == str(raised.value)


# -- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("NAME_PREFIX", "My_Shop", "expected 3 to 32 lower-case letters, digits and dashes"),
        ("RELEASE", "v 1", "expected 1 to 200 letters, digits"),
        ("RELEASE", "", "expected 1 to 200 letters, digits"),
        ("DATABASE_HOST", "", "at least 1 character"),
        ("DATABASE_PORT", "0", "greater than or equal to 1"),
        ("DATABASE_PORT", "65536", "less than or equal to 65535"),
        ("DATABASE_PORT", "five", "valid integer"),
        ("AWS_REGION", "Frankfurt", "expected a region such as eu-central-1"),
        ("AWS_ACCOUNT_ID", "12345", "expected 12 digits"),
        ("AWS_ENDPOINT_URL", "localhost:5000", "expected a URL beginning with http:// or https://"),
        ("PUBLIC_URL", "shop.example.com", "expected a URL beginning with http:// or https://"),
        ("PUBLIC_URL", "https:/shop.example.com", "expected a URL beginning with http:// or https:// and a host"),
        ("PUBLIC_URL", "https://:443", "and a host"),
        ("PUBLIC_URL", "https://[shop", "and a host"),
        ("PUBLIC_URL", "https://shop.example.com:https", "and a host"),
        ("STRIPE_API_BASE", "ftp://api.stripe.com", "expected a URL beginning with http:// or https://"),
        ("WEB_BIND", "8000", "expected host:port"),
        ("WEB_THREADS", "0", "greater than or equal to 1"),
        ("LOG_LEVEL", "info", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("WORKER_MAX_MEMORY_PER_CHILD_MIB", "63", "greater than or equal to 64"),
        ("TASK_DEFAULT_RATE_LIMIT", "100 a minute", "expected a number per s, m or h"),
        ("EMAIL_FROM", "shop", "expected an address such as shop@example.com"),
    ],
)
def test_an_impossible_value_is_told_with_what_was_expected_and_what_was_got(name: str, value: str, expected: str) -> None:
    (problem,) = refused(**{name: value}).splitlines()[1:]

    assert problem.startswith(f"  {name}: ")
    assert expected in problem
    assert f"got {value!r}" in problem


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECRET_KEY", "too-short-to-be-any-good", "expected 50 random characters or more"),
        ("EMAIL_URL", "pigeon://user:hunter2@host", "expected smtp://user:password@host:587?tls=true, ses://region or file:///directory"),
        ("EMAIL_URL", "smtp://user:hunter2@", "expected smtp://"),
        ("EMAIL_URL", "smtp://user:hunter2@host:99999", "expected smtp://"),
        ("EMAIL_URL", "smtp://user:hunter\u2100@host", "expected smtp://"),
        ("EMAIL_URL", "smtp://user:hunter2@[host", "expected smtp://"),
        ("EMAIL_URL", "file:hunter2", "expected smtp://"),
        ("EMAIL_URL", "ses://", "expected smtp://"),
        ("EMAIL_URL", "file://", "expected smtp://"),
    ],
)
def test_a_secret_that_is_wrong_is_not_shown(name: str, value: str, expected: str) -> None:
    (problem,) = refused(**{name: value}).splitlines()[1:]

    assert expected in problem
    assert "got a secret that is not shown" in problem
    assert "hunter" not in problem
    assert "too-short" not in problem


def test_no_secret_shows_in_the_representation() -> None:
    shown = "".join(f(read(DATABASE_PASSWORD="hunter2")) for f in (repr, str))

    values = environment(DATABASE_PASSWORD="hunter2")
    assert SECRETS
    for name in SECRETS:
        assert values[name] not in shown


def test_the_environment_does_not_change_after_it_was_read() -> None:
    with pytest.raises(Exception, match="frozen"):
        read().name_prefix = "other"  # type: ignore[misc]


_hostile = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(["http", "https", "smtp", "file"]).flatmap(
        lambda scheme: st.text("[]@:/?#%\u2100a0. ", max_size=20).map(lambda rest: f"{scheme}://{rest}")
    ),
    st.integers().map(str),
)


@given(st.dictionaries(st.sampled_from(NAMES), _hostile, min_size=1, max_size=len(NAMES)))
@settings(max_examples=250)
def test_whatever_the_variables_hold_the_answer_is_an_environment_or_a_list_of_problems(changes: dict[str, str]) -> None:
    marked = {name: f"{value}hunter2" if name in SECRETS else value for name, value in changes.items()}
    try:
        read = reading(environment() | marked)
    except EnvironmentInvalid as invalid:
        assert "hunter2" not in str(invalid)  # noqa: PT017 — either outcome is right
    else:
        assert read.email
        assert read.hosts[0]
        assert "hunter2" not in repr(read)


# -- what follows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("url", "is_https"), [("https://shop.example.com", True), ("http://127.0.0.1:8000", False)])
def test_whether_people_reach_us_by_https_is_read_from_the_public_address(url: str, is_https: bool) -> None:
    assert read(PUBLIC_URL=url).is_https is is_https


def test_the_web_service_answers_to_its_public_name_and_to_those_that_are_added() -> None:
    read_ = read(PUBLIC_URL="https://shop.example.com:8443", ALLOWED_HOSTS="internal.example.com, ,10.0.0.1")

    assert read_.hosts == ["shop.example.com", "internal.example.com", "10.0.0.1"]


def test_an_address_loses_its_last_slash() -> None:
    assert read(PUBLIC_URL="https://shop.example.com/").public_url == "https://shop.example.com"


def test_an_empty_endpoint_is_the_real_aws() -> None:
    assert read(AWS_ENDPOINT_URL="").aws_endpoint_url is None


def test_results_are_kept_for_as_long_as_was_asked() -> None:
    assert read(RESULT_TTL_HOURS="36").result_ttl == timedelta(hours=36)


def test_mail_goes_to_the_server_of_its_address() -> None:
    email = read(EMAIL_URL="smtp://user%40shop:p%2Fw@mail.example.com:2525?tls=false").email

    assert email["EMAIL_BACKEND"].endswith("smtp.EmailBackend")
    assert (email["EMAIL_HOST"], email["EMAIL_PORT"], email["EMAIL_USE_TLS"]) == ("mail.example.com", 2525, False)
    assert (email["EMAIL_HOST_USER"], email["EMAIL_HOST_PASSWORD"]) == ("user@shop", "p/w")


def test_mail_is_encrypted_unless_it_is_asked_not_to_be() -> None:
    email = read(EMAIL_URL="smtp://mail.example.com").email

    assert (email["EMAIL_PORT"], email["EMAIL_USE_TLS"]) == (587, True)


def test_ses_is_called_in_its_region() -> None:
    email = read(EMAIL_URL="ses://eu-central-1", AWS_ENDPOINT_URL="").email

    assert email["EMAIL_BACKEND"] == "anymail.backends.amazon_ses.EmailBackend"
    assert email["ANYMAIL"]["AMAZON_SES_CLIENT_PARAMS"]["region_name"] == "eu-central-1"
    assert "endpoint_url" not in email["ANYMAIL"]["AMAZON_SES_CLIENT_PARAMS"]


def test_mail_goes_to_a_directory() -> None:
    email = read(EMAIL_URL="file:///var/mail%20box").email

    assert email["EMAIL_BACKEND"].endswith("filebased.EmailBackend")
    assert email["EMAIL_FILE_PATH"] == "/var/mail box"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_that_lies_about_is_not_read(elsewhere: Path) -> None:
    (elsewhere / ".env").write_text("NAME_PREFIX=sneaky\n")

    assert read().name_prefix == "millrace-test"
