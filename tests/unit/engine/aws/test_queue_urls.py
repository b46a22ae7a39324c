from dataclasses import replace

import pytest

from app.engine.aws.queue_urls import dead_letter_queue_url, queue_url
from app.engine.conf import engine_settings

REAL = replace(engine_settings(), name_prefix="shop", region="eu-central-1", account_id="123456789012", endpoint_url=None)


def test_the_address_in_the_real_aws_follows_from_region_account_and_name() -> None:
    assert queue_url(REAL, "emails") == "https://sqs.eu-central-1.amazonaws.com/123456789012/shop-emails"


def test_china_has_a_domain_of_its_own() -> None:
    assert queue_url(replace(REAL, region="cn-north-1"), "emails").startswith("https://sqs.cn-north-1.amazonaws.com.cn/")


def test_another_aws_is_asked_at_its_own_address() -> None:
    assert queue_url(replace(REAL, endpoint_url="http://127.0.0.1:5000"), "emails") == "http://127.0.0.1:5000/123456789012/shop-emails"


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:5000"])
def test_the_dead_letters_of_a_queue_lie_beside_it(endpoint: str | None) -> None:
    settings = replace(REAL, endpoint_url=endpoint)

    assert dead_letter_queue_url(settings, "emails") == queue_url(settings, "emails") + "-dead-letters"
