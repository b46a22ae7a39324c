import subprocess
import sys
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from app.topology import TopologyError
from infra.stages import CONTEXT_KEYS, DEV, PROD, StageImpossible, StageUnknown, chosen_stage


def test_without_a_word_it_is_dev() -> None:
    assert chosen_stage({"": ""}.get) == DEV


def test_the_context_chooses_the_stage_its_prefix_and_who_is_woken() -> None:
    stage = chosen_stage({"stage": "prod", "name_prefix": "acme", "alarm_email": "oncall@example.com"}.get)

    assert (stage.name, stage.name_prefix, stage.alarm_email) == ("prod", "acme", "oncall@example.com")
    assert stage.keeps_data


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(StageUnknown, match=r"expected dev or prod, got 'production'"):
        chosen_stage({"stage": "production"}.get)


def test_a_prefix_that_aws_would_refuse_is_refused() -> None:
    with pytest.raises(TopologyError, match="NAME_PREFIX"):
        chosen_stage({"name_prefix": "Acme_"}.get)


def test_only_prod_keeps_data() -> None:
    assert (PROD.keeps_data, PROD.has_point_in_time_recovery) == (True, True)
    assert (DEV.keeps_data, DEV.has_point_in_time_recovery) == (False, False)


def test_every_context_key_is_a_field_and_reaches_the_stage() -> None:
    values = {key: f"{key}.example" for key in CONTEXT_KEYS} | {"name_prefix": "acme", "email_from": "shop@acme.example"}

    stage = chosen_stage(values.get)

    assert set(CONTEXT_KEYS) < {field.name for field in fields(stage)}
    assert {key: getattr(stage, key) for key in CONTEXT_KEYS} == values
    assert stage.mail_domain == "acme.example"
    assert stage.is_https


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"log_retention": timedelta(days=8)}, "log_retention: CloudWatch knows"),
        ({"log_retention": timedelta(hours=36)}, "log_retention"),
        ({"availability_zones": 1}, "availability_zones"),
        ({"nat_gateways": 0}, "nat_gateways"),
        ({"nat_gateways": 3}, "nat_gateways"),
        ({"minimum_acu": 0.3}, "minimum_acu"),
        ({"minimum_acu": 4}, "minimum_acu"),
        ({"maximum_acu": 300}, "minimum_acu"),
        ({"backup_retention": timedelta(days=36)}, "backup_retention"),
        ({"web_copies": 0}, "web_copies"),
        ({"certificate_arn": "arn:aws:acm:eu-central-1:111111111111:certificate/0"}, "pass the context key 'domain'"),
        ({"email_from": "nobody"}, "email_from"),
    ],
)
def test_a_stage_that_aws_would_refuse_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(StageImpossible, match=problem):
        replace(DEV, **changes)


def test_prod_is_what_a_stage_with_customers_should_be() -> None:
    assert PROD.availability_zones > 2
    assert PROD.nat_gateways > 1
    assert PROD.database_readers > 0
    assert PROD.web_copies > 1
    assert PROD.minimum_acu > 0
    assert PROD.has_own_key
    assert PROD.has_firewall
    assert not PROD.has_exec


def test_who_only_asks_what_a_stage_is_need_not_start_node() -> None:
    program = "import infra.stages, sys; print('aws_cdk' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "False"
