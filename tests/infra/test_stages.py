import pytest

from app.topology import TopologyError
from infra.stages import DEV, PROD, StageUnknown, chosen_stage


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
