"""The CDK app: turns ``app.topology`` into CloudFormation. Imports nothing else of ours."""
