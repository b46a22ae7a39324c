"""The network: who can reach whom. Nothing but the load balancer can be reached from outside."""

from aws_cdk import CfnOutput, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from app.topology.naming import log_group_name
from app.topology.variables import port_of
from infra.constructs import Lines
from infra.stages import Stage

#: What the containers ask of AWS besides S3 and DynamoDB, which have gateways.
_INTERFACE_ENDPOINTS = {
    "Sqs": ec2.InterfaceVpcEndpointAwsService.SQS,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "Metrics": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_MONITORING,
    "Secrets": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Ecs": ec2.InterfaceVpcEndpointAwsService.ECS,
    "Registry": ec2.InterfaceVpcEndpointAwsService.ECR,
    "Images": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
}


class NetworkStack(Stack):
    """Public: load balancer and NAT. Private: tasks. Isolated, without a way out: the database."""

    def __init__(self, scope: Construct, *, stage: Stage) -> None:
        name = f"{stage.name_prefix}-network"
        super().__init__(scope, name, stack_name=name, description="Network.", termination_protection=stage.keeps_data)
        lines = Lines(self, "RefusedLines", name=log_group_name(stage.name_prefix, "refused-connections"), stage=stage)
        subnets = ec2.SubnetType
        self.vpc = ec2.Vpc(
            self,
            "Network",
            vpc_name=stage.name_prefix,
            # By position, not by name: which zones an account has is not known here.
            availability_zones=[Fn.select(position, Fn.get_azs()) for position in range(stage.availability_zones)],
            nat_gateways=stage.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="public", subnet_type=subnets.PUBLIC, map_public_ip_on_launch=False),
                ec2.SubnetConfiguration(name="private", subnet_type=subnets.PRIVATE_WITH_EGRESS),
                ec2.SubnetConfiguration(name="isolated", subnet_type=subnets.PRIVATE_ISOLATED),
            ],
            # Free, and where most bytes go: layers of images, and items.
            gateway_endpoints={
                "Objects": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "Tables": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            },
            flow_logs={
                "Refused": ec2.FlowLogOptions(
                    destination=ec2.FlowLogDestination.to_cloud_watch_logs(lines.group), traffic_type=ec2.FlowLogTrafficType.REJECT
                )
            },
            # It would take a function of its own to empty the default group, which nothing here is in.
            restrict_default_security_group=False,
        )
        self.front = ec2.SecurityGroup(
            self, "Front", vpc=self.vpc, description="The load balancer: open to the world.", allow_all_outbound=False
        )
        self.tasks = ec2.SecurityGroup(self, "Tasks", vpc=self.vpc, description="Every task of ECS.", allow_all_outbound=True)
        self._open_the_front(stage)
        if stage.has_interface_endpoints:
            self._add_interface_endpoints()
        CfnOutput(self, "NetworkId", value=self.vpc.vpc_id, description="Everything of this deployment is in it.")

    def _open_the_front(self, stage: Stage) -> None:
        web = ec2.Port.tcp(port_of("WEB_BIND"))
        # Plain HTTP, too, with a certificate: it is sent on to HTTPS.
        self.front.add_ingress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTP, "HTTP from anywhere")
        if stage.is_https:
            self.front.add_ingress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "HTTPS from anywhere")
        self.front.add_egress_rule(self.tasks, web, "To the web service")
        self.tasks.add_ingress_rule(self.front, web, "From the load balancer")

    def _add_interface_endpoints(self) -> None:
        for name, service in _INTERFACE_ENDPOINTS.items():
            endpoint = self.vpc.add_interface_endpoint(name, service=service, open=False)
            endpoint.connections.allow_default_port_from(self.tasks, "From tasks")
