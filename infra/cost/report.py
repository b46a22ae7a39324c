"""An estimate for people, and for programs."""

from collections.abc import Iterable
from typing import Any

from infra.cost import assumptions
from infra.cost.estimate import CostLine, Estimate, total
from infra.cost.prices import AS_OF, Prices
from infra.stages import Stage

_LINE = "{:<46} {:>12} of {:<44} {:>10}"


_WIDTH = len(_LINE.format("", "", "", ""))


def text(found: Estimate, *, stage: Stage, region: str, prices: Prices, jobs: float, queue: str) -> str:
    remembered = sorted({line.item for line in (*found.idle, *found.million) if prices[line.item].source is None})
    return "\n".join(
        (
            f"{stage.name} in {region}, a month, in US dollars, at list prices as found on {AS_OF:%Y-%m-%d}",
            "",
            "Without a job",
            *_table(found.idle),
            "",
            f"What {jobs:,.0f} jobs of {queue} add, beside what the copies above have room for",
            *_table(found.jobs),
            "",
            f"What a million more jobs of {queue} add",
            *_table(found.million),
            "",
            f"Together, with {jobs:,.0f} jobs: ${found.usd:,.0f}. The stage's budget is ${stage.monthly_budget_usd:,}.",
            "",
            "Assumed",
            *(f"  {assumption.value:>10,.6g}  {assumption.text}" for assumption in assumptions.ALL),
            "",
            "Not counted: data transfer to the internet, S3, images, mail, backups beyond the database's size, discounts, the free tier, taxes.",
            "Prices from memory, to be verified (infra/cost/prices.py):",
            *(f"  {item}" for item in remembered),
        )
    )


def _table(lines: Iterable[CostLine]) -> Iterable[str]:
    kept = tuple(lines)
    for line in kept:
        yield _LINE.format(line.what, f"{line.quantity:,.3f}", line.item, f"{line.usd:,.2f}")
    yield f"{total(kept):>{_WIDTH},.2f}"


def document(found: Estimate, *, stage: Stage, region: str, prices: Prices, jobs: float, queue: str) -> dict[str, Any]:
    def lines(kept: tuple[CostLine, ...]) -> dict[str, Any]:
        return {
            "usd": round(total(kept), 2),
            "lines": [
                {
                    "what": line.what,
                    "item": line.item,
                    "quantity": line.quantity,
                    "price_usd": prices[line.item].usd,
                    "price_source": prices[line.item].source,
                    "usd": line.usd,
                }
                for line in kept
            ],
        }

    return {
        "stage": stage.name,
        "region": region,
        "prices_of": AS_OF.isoformat(),
        "jobs_a_month": jobs,
        "queue": queue,
        "usd": round(found.usd, 2),
        "budget_usd": stage.monthly_budget_usd,
        "idle": lines(found.idle),
        "jobs": lines(found.jobs),
        "a_million_more": lines(found.million),
        "assumptions": [{"value": assumption.value, "text": assumption.text} for assumption in assumptions.ALL],
    }
