"""What people do to a deployment from their terminal: deploy a stage, run a command in it, send its dead letters back.

They act with the credentials of whoever runs them, in the region of ``AWS_DEFAULT_REGION`` or of their profile; ``AWS_ENDPOINT_URL`` leads to another AWS.
"""
