"""Functions that run in AWS Lambda while a stack is deployed, or after. Plain Python and boto3, which Lambda brings."""
