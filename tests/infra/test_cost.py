"""What a stage costs: sums by hand, and what the templates really hold."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.topology import TOPOLOGY, QueuePolicy, ServicePolicy
from app.topology.services import worker_service
from infra.cost import assumptions as assume
from infra.cost.__main__ import main
from infra.cost.estimate import CostLine, Estimate, estimate, total
from infra.cost.prices import REGIONS, Item, Price, RegionUnknown, prices_of
from infra.stages import DEV, PROD, Stage
from tests.infra.templates import Template, Templates

REPOSITORY = Path(__file__).resolve().parents[2]
VIRGINIA = prices_of("us-east-1")
#: A dollar for everything: a sum is then a sum of quantities.
DOLLAR = {item: Price(usd=1) for item in Item}
QUEUE = "default"
WORKER = TOPOLOGY.service("worker-default")


def of(stage: Stage, *, jobs: float = 0, prices: Mapping[Item, Price] = VIRGINIA, services: tuple[ServicePolicy, ...] = ()) -> Estimate:
    topology = replace(TOPOLOGY, services=(*TOPOLOGY.services, *services), queues=(*TOPOLOGY.queues, *LETTERS[: len(services)]))
    return estimate(topology, stage, prices, jobs=jobs, queue=QUEUE)


LETTERS = (QueuePolicy(name="letters", purpose="Paper.", routes=("letters.*",)),)


def quantities(lines: tuple[CostLine, ...]) -> Counter[Item]:
    found: Counter[Item] = Counter()
    for line in lines:
        found[line.item] += line.quantity  # type: ignore[assignment]  # hours are not whole
    return found


# -- by hand --------------------------------------------------------------------------------------------------------
def test_the_containers_that_are_always_there() -> None:
    idle = quantities(of(PROD).idle)

    # Two web of half a CPU, three workers of half a CPU, beat and relay of a quarter; the other two workers start from zero.
    assert idle[Item.FARGATE_VCPU] == pytest.approx(730 * (2 * 0.5 + 3 * 0.5 + 2 * 0.25))
    assert idle[Item.FARGATE_GIB] == pytest.approx(730 * (2 * 1 + 3 * 1 + 2 * 0.5))
    fargate = [line.usd for line in of(PROD).idle if line.item in (Item.FARGATE_VCPU, Item.FARGATE_GIB)]
    assert sum(fargate) == pytest.approx(730 * 3 * 0.03238 + 730 * 6 * 0.00356)


def test_what_is_there_without_a_job() -> None:
    idle = quantities(of(PROD).idle)

    assert idle[Item.BALANCER] == 730
    assert idle[Item.NAT] == 2 * 730
    assert idle[Item.PUBLIC_ADDRESS] == (3 + 2) * 730
    assert idle[Item.ACU] == 0.5 * 2 * 730
    assert idle[Item.SQS] == pytest.approx((3 * 3 + 5 * 2) * 730 * 60 / 1e6)
    assert idle[Item.ENDPOINT] == 0


def test_a_database_that_may_sleep_is_kept_awake() -> None:
    assert quantities(of(DEV).idle)[Item.ACU] == 0.5 * 730


def test_a_million_jobs_of_a_second_beyond_the_room_there_is() -> None:
    million = quantities(of(PROD).million)

    hours = 1_000_000 / 3600 / (4 * 0.7)
    assert million[Item.FARGATE_VCPU] == pytest.approx(hours * 0.5 / 4)
    assert million[Item.FARGATE_SPOT_VCPU] == pytest.approx(hours * 0.5 * 3 / 4)
    assert million[Item.SQS] == pytest.approx(0.3)
    assert million[Item.WRITE] == pytest.approx(4)
    assert million[Item.NAT_GB] == pytest.approx(10)
    assert million[Item.LOG_GB] == pytest.approx(1.5)
    assert sum(line.usd for line in of(PROD).million if line.item in (Item.SQS, Item.WRITE)) == pytest.approx(0.3 * 0.40 + 4 * 0.625)


def test_jobs_cost_containers_only_when_those_that_are_there_are_busy() -> None:
    room = 730 * 3600 * 4 * 0.7

    assert quantities(of(PROD, jobs=room * 0.99).jobs)[Item.FARGATE_SPOT_VCPU] == 0
    assert quantities(of(PROD, jobs=room + 1_000_000).jobs)[Item.FARGATE_SPOT_VCPU] == pytest.approx(
        quantities(of(PROD).million)[Item.FARGATE_SPOT_VCPU]
    )


def test_the_sum_is_that_of_its_lines_and_each_line_is_its_quantity_times_its_price() -> None:
    found = of(PROD, jobs=5_000_000)

    assert found.usd == pytest.approx(sum(line.quantity * VIRGINIA[line.item].usd for line in (*found.idle, *found.jobs)))
    assert found.usd == pytest.approx(total(found.idle) + total(found.jobs))


# -- what changes it ------------------------------------------------------------------------------------------------
def test_a_service_that_is_added_raises_it() -> None:
    assert WORKER.scaling is not None
    more = worker_service(LETTERS[0], slots=2, scaling=WORKER.scaling)

    before, after = of(PROD), of(PROD, services=(more,))

    added = {line.what for line in after.idle} - {line.what for line in before.idle}
    assert added == {"worker-letters: CPU", "worker-letters: memory"}
    assert total(after.idle) > total(before.idle) + 730 * (0.5 * 0.03238 + 1 * 0.00356)


@pytest.mark.parametrize(
    ("change", "item"),
    [
        ({"nat_gateways": 3}, Item.NAT),
        ({"database_readers": 2}, Item.ACU),
        ({"minimum_acu": 2.0}, Item.ACU),
        ({"web_copies": 3}, Item.FARGATE_VCPU),
        ({"has_interface_endpoints": True}, Item.ENDPOINT),
        ({"log_retention": timedelta(days=90)}, Item.LOG_STORED_GB),
    ],
)
def test_what_a_stage_has_more_of_costs_more(change: dict[str, object], item: Item) -> None:
    before, after = of(PROD), of(replace(PROD, **change))  # type: ignore[arg-type]  # pairs of a field and its value

    assert quantities(after.idle)[item] > quantities(before.idle)[item]
    assert after.usd > before.usd


def test_more_jobs_cost_more_and_a_longer_job_more_containers() -> None:
    assert of(PROD, jobs=2e6).usd > of(PROD, jobs=1e6).usd
    slow = quantities(estimate(TOPOLOGY, PROD, VIRGINIA, jobs=0, queue="reports").million)
    assert slow[Item.FARGATE_SPOT_VCPU] > 100 * quantities(of(PROD).million)[Item.FARGATE_SPOT_VCPU]


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_has_a_price_for_everything(region: str) -> None:
    assert set(prices_of(region)) == set(Item)


def test_a_region_without_prices_names_those_that_have() -> None:
    with pytest.raises(RegionUnknown, match="no prices for 'mars'; there are for us-east-1, eu-central-1"):
        prices_of("mars")


@pytest.mark.parametrize("usd", [0, -1])
def test_nothing_is_free(usd: float) -> None:
    with pytest.raises(ValueError, match="expected a positive price"):
        Price(usd=usd)


# -- what is counted is what is deployed ----------------------------------------------------------------------------
def _count(templates: Templates, cloudformation_type: str) -> int:
    return len(templates.resources(cloudformation_type))


def _alarm_metrics(templates: Templates, *, quick: bool) -> int:
    def metrics(alarm: Template) -> list[int]:
        if "Metrics" not in alarm:
            return [alarm["Period"]]
        return [each["MetricStat"]["Period"] for each in alarm["Metrics"] if "MetricStat" in each]

    periods = [period for alarm in templates.resources("AWS::CloudWatch::Alarm") for period in metrics(alarm["Properties"])]
    return sum((period < 60) == quick for period in periods)


@pytest.mark.parametrize("stage", [DEV, PROD], ids=lambda stage: stage.name)
def test_the_templates_hold_what_is_counted(stage: Stage, request: pytest.FixtureRequest) -> None:
    templates: Templates = request.getfixturevalue(stage.name)
    idle = quantities(of(stage, prices=DOLLAR).idle)

    found = {
        Item.NAT: 730 * _count(templates, "AWS::EC2::NatGateway"),
        Item.BALANCER: 730 * _count(templates, "AWS::ElasticLoadBalancingV2::LoadBalancer"),
        # The database's password is made by RDS.
        Item.SECRET: _count(templates, "AWS::SecretsManager::Secret") + _count(templates, "AWS::RDS::DBCluster"),
        Item.KEY: _count(templates, "AWS::KMS::Key"),
        Item.DASHBOARD: _count(templates, "AWS::CloudWatch::Dashboard"),
        Item.ACU: 730 * 0.5 * _count(templates, "AWS::RDS::DBInstance"),
        Item.ALARM: _alarm_metrics(templates, quick=False),
        Item.QUICK_ALARM: _alarm_metrics(templates, quick=True),
        Item.FIREWALL: _count(templates, "AWS::WAFv2::WebACL"),
        Item.FIREWALL_RULE: sum(len(acl["Properties"]["Rules"]) for acl in templates.resources("AWS::WAFv2::WebACL")),
    }
    assert {item: idle[item] for item in found} == pytest.approx(found)


# -- the command ----------------------------------------------------------------------------------------------------
def test_people_read_totals_assumptions_and_which_prices_are_from_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stage", "prod", "--region", "eu-central-1", "--jobs-per-month", "2000000"]) == 0

    said = capsys.readouterr().out
    assert "prod in eu-central-1" in said
    assert f"{of(PROD, jobs=2e6, prices=prices_of('eu-central-1')).usd:,.0f}" in said
    assert all(assumption.text in said for assumption in assume.ALL)
    from_memory = said.partition("Prices from memory")[2]
    assert Item.SQS in from_memory
    assert Item.NAT not in from_memory.splitlines()


def test_programs_read_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stage", "dev", "--json", "--jobs-per-month", "0"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["stage"], said["region"], said["jobs"]["lines"]) == ("dev", "us-east-1", [])
    assert said["usd"] == pytest.approx(sum(line["quantity"] * line["price_usd"] for line in said["idle"]["lines"]), abs=0.01)


def test_a_wrong_region_ends_with_a_hint_and_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--region", "mars"]) == 2

    out, error = capsys.readouterr()
    assert out == ""
    assert "there are for us-east-1, eu-central-1" in error


@pytest.mark.parametrize("jobs", ["-1", "inf", "nan", "many"])
def test_an_impossible_number_of_jobs_is_refused(jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--jobs-per-month", jobs])
    assert "--jobs-per-month" in capsys.readouterr().err


def test_it_needs_no_cdk() -> None:
    program = (
        "import sys; from infra.cost.__main__ import main; main(['--json']); sys.exit('aws_cdk' in sys.modules or 'jsii' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, check=False).returncode == 0
