"""The load balancer: what the world reaches."""

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from constructs import Construct

from app.topology import HttpHealth, ServicePolicy
from app.topology.naming import load_balancer_name
from app.topology.variables import port_of
from infra.stages import Stage


class Front(Construct):
    """HTTPS, and plain HTTP sent on to it, if the stage has a certificate; else plain HTTP, and an output that says so."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, vpc: ec2.IVpc, security_group: ec2.ISecurityGroup) -> None:
        super().__init__(scope, construct_id)
        self.balancer = balancing.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            load_balancer_name=load_balancer_name(stage.name_prefix),
            vpc=vpc,
            internet_facing=True,
            security_group=security_group,
            drop_invalid_header_fields=True,
            deletion_protection=stage.keeps_data,
        )
        scheme, host = ("https", stage.domain) if stage.is_https else ("http", self.balancer.load_balancer_dns_name)
        self.url = f"{scheme}://{host}"
        self._listener = self._https(stage) if stage.is_https else self._http()
        CfnOutput(self, "PublicUrl", value=self.url, description="What people type." if stage.is_https else _WARNING)
        CfnOutput(
            self,
            "LoadBalancerName",
            value=self.balancer.load_balancer_dns_name,
            description="Where the DNS record of the domain points to.",
        )

    def _https(self, stage: Stage) -> balancing.ApplicationListener:
        self.balancer.add_redirect()
        return self.balancer.add_listener(
            "Https",
            protocol=balancing.ApplicationProtocol.HTTPS,
            certificates=[acm.Certificate.from_certificate_arn(self, "Certificate", stage.certificate_arn or "")],
            ssl_policy=balancing.SslPolicy.TLS13_12_RES_PQ,
            open=False,
        )

    def _http(self) -> balancing.ApplicationListener:
        return self.balancer.add_listener("Http", protocol=balancing.ApplicationProtocol.HTTP, open=False)

    def add_target(self, target: balancing.IApplicationLoadBalancerTarget, policy: ServicePolicy) -> balancing.ApplicationTargetGroup:
        """Send requests to this service, as long as it says that it lives."""
        assert isinstance(policy.health, HttpHealth)  # noqa: S101 — for the type checker
        return self._listener.add_targets(
            "Web",
            port=port_of("WEB_BIND"),
            protocol=balancing.ApplicationProtocol.HTTP,
            targets=[target],
            # Requests that are under way may end; the process is told to go after that.
            deregistration_delay=Duration.seconds(policy.stop_timeout.total_seconds()),
            health_check=balancing.HealthCheck(path=policy.health.path, timeout=Duration.seconds(policy.health.timeout.total_seconds())),
        )


_WARNING = "PLAIN HTTP: passwords can be read on the way. Give the stage a certificate: docs/how-to/deploy.md"
