"""What the account may cost in a month before somebody is told."""

from collections.abc import Iterable

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

from app.topology.naming import budget_name
from infra.budget_warnings import BudgetWarning


class MonthlyBudget(Construct):
    """Of the whole account, not of what carries our tags: those count only when somebody has activated them for billing, and until then
    such a budget would be silent. It tells, and stops nothing.
    """

    def __init__(self, scope: Construct, *, name_prefix: str, usd: int, warnings: Iterable[BudgetWarning], topic: sns.ITopic) -> None:
        super().__init__(scope, "MonthlyBudget")
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
        self.budget = budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=budget_name(name_prefix),
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=warning.spending.value,
                        comparison_operator="GREATER_THAN",
                        threshold=warning.percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for warning in warnings
            ],
        )
