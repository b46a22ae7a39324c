"""The firewall of the stages that have one."""

from dataclasses import replace

from app.topology import TOPOLOGY
from infra.stages import DEV, PROD
from tests.infra.conftest import Synthesise
from tests.infra.templates import Templates


def test_the_stage_says_whether_there_is_a_firewall(dev: Templates, prod: Templates, synthesise: Synthesise) -> None:
    assert "edge" not in dev.stacks
    assert "edge" in prod.stacks
    assert "edge" in synthesise(TOPOLOGY, replace(DEV, has_firewall=True)).stacks


def test_it_stands_in_front_of_the_load_balancer(prod: Templates) -> None:
    (association,) = prod.resources("AWS::WAFv2::WebACLAssociation")
    (firewall,) = (key for key, one in prod.stacks["edge"]["Resources"].items() if one["Type"] == "AWS::WAFv2::WebACL")

    assert "LoadBalancer" in str(association["Properties"]["ResourceArn"])
    assert association["Properties"]["WebACLArn"] == {"Fn::GetAtt": [firewall, "Arn"]}


def test_it_refuses_attacks_and_addresses_that_ask_too_often_and_lets_images_through(prod: Templates) -> None:
    (firewall,) = prod.resources("AWS::WAFv2::WebACL")
    rules = {rule["Name"]: rule for rule in firewall["Properties"]["Rules"]}
    common = rules["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]

    assert firewall["Properties"]["Scope"] == "REGIONAL"
    assert rules["TooOften"]["Action"] == {"Block": {}}
    assert rules["TooOften"]["Statement"]["RateBasedStatement"]["Limit"] == PROD.requests_per_address
    # It blocks bodies of more than 8 KB.
    assert common["RuleActionOverrides"] == [{"Name": "SizeRestrictions_BODY", "ActionToUse": {"Count": {}}}]
    assert sorted(rule["Priority"] for rule in rules.values()) == list(range(len(rules)))
    assert {str(rule["OverrideAction"]) for name, rule in rules.items() if name != "TooOften"} == {"{'None': {}}"}
