"""Metrics as log lines in CloudWatch's embedded metric format: no call, no agent, no lost figure when CloudWatch is slow.

Promise: one line a run with all its figures. Limit: CloudWatch shows them when the log driver has delivered the line.
Use: ``emf.emit``; runs are recorded by themselves. Stores: nothing. Emits: what ``app/topology/metrics.py`` declares.
"""
