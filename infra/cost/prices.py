"""AWS's list prices in two regions, as they were found on one day.

Prices change and regions differ: a price is as good as its source. What has none was written down from memory, and is printed as such.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

#: When this table was written. Look the prices up again after a year.
AS_OF = date(2026, 11, 26)


class RegionUnknown(ValueError):
    """There are no prices for that region. The message names those that there are."""


class Item(StrEnum):
    """What is paid for, in its unit."""

    FARGATE_VCPU = "Fargate ARM, vCPU-hour"
    FARGATE_GIB = "Fargate ARM, GiB-hour"
    FARGATE_SPOT_VCPU = "Fargate Spot ARM, vCPU-hour"
    FARGATE_SPOT_GIB = "Fargate Spot ARM, GiB-hour"
    BALANCER = "load balancer, hour"
    BALANCER_UNIT = "load balancer capacity unit, hour"
    NAT = "NAT gateway, hour"
    NAT_GB = "NAT gateway, GB"
    PUBLIC_ADDRESS = "public IPv4 address, hour"
    ENDPOINT = "interface endpoint in one zone, hour"
    ACU = "Aurora capacity unit, hour"
    AURORA_GB = "Aurora storage, GB-month"
    AURORA_IO = "Aurora I/O, million"
    SECRET = "secret, month"  # noqa: S105 — what it costs
    KEY = "KMS key, month"
    ALARM = "alarm, metric-month"
    QUICK_ALARM = "alarm of less than a minute, metric-month"
    DASHBOARD = "dashboard, month"
    METRIC = "custom metric, month"
    INSIGHT = "Container Insights enhanced, metric-month"
    METRIC_REQUEST = "PutMetricData, thousand"
    LOG_GB = "log lines, GB"
    LOG_STORED_GB = "log lines kept, GB-month"
    SQS = "SQS request, million"
    WRITE = "DynamoDB write unit, million"
    READ = "DynamoDB read unit, million"
    TABLE_GB = "DynamoDB storage, GB-month"
    TABLE_BACKUP_GB = "DynamoDB point-in-time recovery, GB-month"
    FIREWALL = "WAF, month"
    FIREWALL_RULE = "WAF rule, month"


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    usd: float
    source: str | None = None
    """Where it was read, and of when the page is. ``None``: from memory; look it up before you rely on it."""

    def __post_init__(self) -> None:
        if self.usd <= 0:
            raise ValueError(f"expected a positive price, got {self.usd}")


Prices = Mapping[Item, Price]

_FARGATE = "https://www.vantage.sh/blog/fargate-pricing, of 2021, and https://www.wring.co/blog/aws-fargate-pricing-guide (x86), of 2026-03"
_ACU = "https://www.usage.ai/blogs/aws/rds/aurora-serverless-v2/, of 2026-06"
_NAT = "https://cloudpipelines.pages.dev/guides/aws-nat-gateway-pricing-2026/, of 2026; for Frankfurt a span"
_ADDRESS = "https://cloudburn.io/blog/aws-nat-gateway-pricing, of 2026-02"
_CLOUDWATCH = "https://signoz.io/guides/cloudwatch-pricing, of 2026-02"
_LOGS = "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/, of 2026-06"
_INSIGHTS = "https://fortem.dev/blog/ecs-fargate-monitoring/, of no date"
_DYNAMODB = "https://airbyte.com/data-engineering-resources/dynamodb-pricing, of 2025-07"

_VIRGINIA: Prices = {
    Item.FARGATE_VCPU: Price(usd=0.03238, source=_FARGATE),
    Item.FARGATE_GIB: Price(usd=0.00356, source=_FARGATE),
    # 70 % off; it moves.
    Item.FARGATE_SPOT_VCPU: Price(usd=0.00971),
    Item.FARGATE_SPOT_GIB: Price(usd=0.00107),
    Item.BALANCER: Price(usd=0.0225),
    Item.BALANCER_UNIT: Price(usd=0.008),
    Item.NAT: Price(usd=0.045, source=_NAT),
    Item.NAT_GB: Price(usd=0.045, source=_NAT),
    Item.PUBLIC_ADDRESS: Price(usd=0.005, source=_ADDRESS),
    Item.ENDPOINT: Price(usd=0.01),
    Item.ACU: Price(usd=0.12, source=_ACU),
    Item.AURORA_GB: Price(usd=0.10),
    Item.AURORA_IO: Price(usd=0.20),
    Item.SECRET: Price(usd=0.40),
    Item.KEY: Price(usd=1.0),
    Item.ALARM: Price(usd=0.10),
    Item.QUICK_ALARM: Price(usd=0.30),
    Item.DASHBOARD: Price(usd=3.0, source=_LOGS),
    Item.METRIC: Price(usd=0.30, source=_CLOUDWATCH),
    Item.INSIGHT: Price(usd=0.07, source=_INSIGHTS),
    Item.METRIC_REQUEST: Price(usd=0.01),
    Item.LOG_GB: Price(usd=0.50, source=_LOGS),
    Item.LOG_STORED_GB: Price(usd=0.03),
    Item.SQS: Price(usd=0.40),
    Item.WRITE: Price(usd=0.625, source=_DYNAMODB),
    Item.READ: Price(usd=0.125, source=_DYNAMODB),
    Item.TABLE_GB: Price(usd=0.25),
    Item.TABLE_BACKUP_GB: Price(usd=0.20),
    Item.FIREWALL: Price(usd=5.0),
    Item.FIREWALL_RULE: Price(usd=1.0),
}

#: What is not written here costs the same as in us-east-1.
_FRANKFURT: Prices = {
    **_VIRGINIA,
    Item.FARGATE_VCPU: Price(usd=0.03725),
    Item.FARGATE_GIB: Price(usd=0.00409),
    Item.FARGATE_SPOT_VCPU: Price(usd=0.01118),
    Item.FARGATE_SPOT_GIB: Price(usd=0.00123),
    Item.BALANCER: Price(usd=0.027),
    Item.NAT: Price(usd=0.052, source=_NAT),
    Item.NAT_GB: Price(usd=0.052, source=_NAT),
    Item.ENDPOINT: Price(usd=0.012),
    Item.ACU: Price(usd=0.14),
    Item.AURORA_GB: Price(usd=0.119),
    Item.AURORA_IO: Price(usd=0.22),
    Item.LOG_GB: Price(usd=0.63),
    Item.LOG_STORED_GB: Price(usd=0.0324),
    Item.WRITE: Price(usd=0.7625),
    Item.READ: Price(usd=0.1525),
    Item.TABLE_GB: Price(usd=0.306),
    Item.TABLE_BACKUP_GB: Price(usd=0.245),
}

REGIONS: Mapping[str, Prices] = {"us-east-1": _VIRGINIA, "eu-central-1": _FRANKFURT}


def prices_of(region: str) -> Prices:
    if region not in REGIONS:
        raise RegionUnknown(f"there are no prices for {region!r}; there are for {', '.join(REGIONS)}. Add the region's to {__file__}")
    return REGIONS[region]
