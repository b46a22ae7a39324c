import pytest

from app.topology import VariablePolicy
from infra.environment import ContainerEnvironment, EnvironmentIncomplete

VARIABLES = (
    VariablePolicy(name="HOST", purpose="Required."),
    VariablePolicy(name="PORT", purpose="Optional.", default="1"),
    VariablePolicy(name="KEY", purpose="Secret.", secret=True),
)


def _environment(values: dict[str, str], secrets: dict[str, str]) -> ContainerEnvironment[str]:
    return ContainerEnvironment(values=values, secrets=secrets)


def test_what_has_a_default_need_not_be_given() -> None:
    environment = _environment({"HOST": "a"}, {"KEY": "arn"})

    assert environment.checked(VARIABLES) is environment


@pytest.mark.parametrize(
    ("values", "secrets", "problem"),
    [
        ({}, {"KEY": "arn"}, "HOST has no default and is not given"),
        ({"HOST": "a"}, {}, "KEY has no default and is not given"),
        ({"HOST": "a", "HOTS": "b"}, {"KEY": "arn"}, "HOTS is given and stands not in app/topology/variables.py"),
        ({"HOST": "a", "KEY": "in the clear"}, {}, "KEY is a secret and is given in the clear"),
        ({}, {"KEY": "arn", "HOST": "arn"}, "HOST is no secret and is given as one"),
    ],
)
def test_what_the_application_would_refuse_is_refused_before_it_is_deployed(
    values: dict[str, str], secrets: dict[str, str], problem: str
) -> None:
    with pytest.raises(EnvironmentIncomplete, match=problem):
        _environment(values, secrets).checked(VARIABLES)
