"""``scripts/cost``."""

import argparse
import json
import sys
from collections.abc import Sequence

from app.topology import TOPOLOGY
from infra.cost.estimate import estimate
from infra.cost.prices import AS_OF, REGIONS, RegionUnknown, prices_of
from infra.cost.report import document, text
from infra.stages import STAGES


def main(arguments: Sequence[str] | None = None) -> int:
    queues = [queue.name for queue in TOPOLOGY.queues]
    parser = argparse.ArgumentParser(
        prog="scripts/cost",
        description=f"What a stage costs in a month, at AWS's list prices of {AS_OF:%Y-%m-%d}, with all that is assumed.",
    )
    parser.add_argument("--stage", choices=STAGES, default="prod", help="default: %(default)s")
    parser.add_argument("--region", default="us-east-1", help=f"{' or '.join(REGIONS)} (default: %(default)s)")
    parser.add_argument("--jobs-per-month", type=_jobs, default=1_000_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--queue", choices=queues, default=queues[0], help="which the jobs are of (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        prices = prices_of(options.region)
    except RegionUnknown as error:
        sys.stderr.write(f"scripts/cost: {error}\n")
        return 2
    stage, jobs = STAGES[options.stage], options.jobs_per_month
    found = estimate(TOPOLOGY, stage, prices, jobs=jobs, queue=options.queue)
    if options.json:
        answer = json.dumps(document(found, stage=stage, region=options.region, prices=prices, jobs=jobs, queue=options.queue), indent=2)
    else:
        answer = text(found, stage=stage, region=options.region, prices=prices, jobs=jobs, queue=options.queue)
    sys.stdout.write(answer + "\n")
    return 0


def _jobs(said: str) -> float:
    number = float(said)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {said}")
    return number


if __name__ == "__main__":
    sys.exit(main())
