"""The rehearsal: the synthesised stacks are deployed into an emulated AWS, and the application runs there with the roles of its own template.

Promise: what it prints was done. Nothing of the template is left out but what stands in ``omissions``, with its reason.
Limit: an emulator is not AWS. Containers are not started: we start the same commands ourselves. What is not shown stands in
docs/how-to/rehearse-a-deployment.md.
Use: ``scripts/rehearse [dev|prod]``.
Stores: ``var/rehearsal``: the assembly, logs, the decisions of IAM.
"""
