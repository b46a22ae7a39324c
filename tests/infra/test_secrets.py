"""Secrets stand in Secrets Manager, and in no template."""

import pytest

from app.topology import TOPOLOGY
from app.topology.naming import secret_name
from infra.stages import PROD
from tests.infra.templates import Templates

DATABASE_PASSWORD = "DATABASE_PASSWORD"


def test_every_secret_variable_but_the_database_s_has_a_secret(prod: Templates) -> None:
    names = {variable.name for variable in TOPOLOGY.variables if variable.secret} - {DATABASE_PASSWORD}

    assert set(prod.properties("AWS::SecretsManager::Secret", "Name")) == {secret_name(PROD.name_prefix, name) for name in names}


def test_their_first_values_are_random_but_for_the_one_that_is_no_secret(prod: Templates) -> None:
    secrets = prod.properties("AWS::SecretsManager::Secret", "Name")

    written = {name: secret["SecretString"] for name, secret in secrets.items() if "SecretString" in secret}
    assert written == {secret_name(PROD.name_prefix, "EMAIL_URL"): {"Fn::Join": ["", ["ses://", {"Ref": "AWS::Region"}]]}}
    for name, secret in secrets.items():
        assert name in written or secret["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}


@pytest.mark.parametrize(("stage", "fate"), [("dev", "Delete"), ("prod", "Retain")])
def test_prod_s_secrets_survive_their_stack(stage: str, fate: str, request: pytest.FixtureRequest) -> None:
    templates: Templates = request.getfixturevalue(stage)

    assert {secret["DeletionPolicy"] for secret in templates.resources("AWS::SecretsManager::Secret")} == {fate}
