"""AWS WAF in front of the load balancer: what a stage may have, and need not."""

from aws_cdk import Stack
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.stages import Stage

#: AWS's own rules, in the order in which they are asked. Of the first, one only counts: it refuses bodies of more than 8 KB, which images are.
_MANAGED: dict[str, tuple[str, ...]] = {
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY",),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesSQLiRuleSet": (),
}


class EdgeStack(Stack):
    """Refuses what looks like an attack, and addresses that ask too often. The application does not know of it."""

    def __init__(self, scope: Construct, *, stage: Stage, load_balancer_arn: str) -> None:
        name = f"{stage.name_prefix}-edge"
        super().__init__(scope, name, stack_name=name, description="Firewall.", termination_protection=stage.keeps_data)
        rules = [_managed(position, group, counted) for position, (group, counted) in enumerate(_MANAGED.items())]
        firewall = waf.CfnWebACL(
            self,
            "Firewall",
            name=stage.name_prefix,
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            rules=[*rules, _too_often(len(rules), stage.requests_per_address)],
            visibility_config=_seen_as(stage.name_prefix),
        )
        waf.CfnWebACLAssociation(self, "InFrontOfTheLoadBalancer", resource_arn=load_balancer_arn, web_acl_arn=firewall.attr_arn)


def _managed(priority: int, group: str, counted: tuple[str, ...]) -> waf.CfnWebACL.RuleProperty:
    statement = waf.CfnWebACL.ManagedRuleGroupStatementProperty(
        vendor_name="AWS",
        name=group,
        rule_action_overrides=[
            waf.CfnWebACL.RuleActionOverrideProperty(name=rule, action_to_use=waf.CfnWebACL.RuleActionProperty(count={}))
            for rule in counted
        ]
        or None,
    )
    return waf.CfnWebACL.RuleProperty(
        name=group,
        priority=priority,
        override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
        statement=waf.CfnWebACL.StatementProperty(managed_rule_group_statement=statement),
        visibility_config=_seen_as(group),
    )


def _too_often(priority: int, limit: int) -> waf.CfnWebACL.RuleProperty:
    return waf.CfnWebACL.RuleProperty(
        name="TooOften",
        priority=priority,
        action=waf.CfnWebACL.RuleActionProperty(block={}),
        statement=waf.CfnWebACL.StatementProperty(
            rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(aggregate_key_type="IP", limit=limit)
        ),
        visibility_config=_seen_as("TooOften"),
    )


def _seen_as(metric: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(cloud_watch_metrics_enabled=True, sampled_requests_enabled=True, metric_name=metric)
