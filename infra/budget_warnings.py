"""When somebody is told about money, in percent of the stage's ``monthly_budget_usd``."""

from dataclasses import dataclass
from enum import StrEnum


class Spending(StrEnum):
    ACTUAL = "ACTUAL"
    """What has been spent this month."""
    FORECASTED = "FORECASTED"
    """What AWS expects by the end of the month. It knows nothing in an account's first five weeks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetWarning:
    spending: Spending
    percent: int


#: The first is late and certain, the second early and a guess.
BUDGET_WARNINGS = (BudgetWarning(spending=Spending.ACTUAL, percent=80), BudgetWarning(spending=Spending.FORECASTED, percent=100))
