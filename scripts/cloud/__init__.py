"""What people do to a deployment from their terminal: deploy a stage, send its dead letters back.

They act with the credentials of whoever runs them, by AWS's own way of finding them; ``AWS_ENDPOINT_URL`` leads to another AWS.
"""
