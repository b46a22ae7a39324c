"""What the CDK app promises. Only these tests import the CDK."""
