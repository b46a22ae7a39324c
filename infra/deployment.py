"""What every process of one deployment shares."""

from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs

from infra.environment import ContainerEnvironment
from infra.stages import Stage

#: What the image is built from; its .dockerignore says what of it.
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    stack: Stack
    stage: Stage
    cluster: ecs.ICluster
    security_group: ec2.ISecurityGroup
    """Of every task."""
    subnets: ec2.SubnetSelection
    image: ecs.ContainerImage
    environment: ContainerEnvironment[ecs.Secret]
