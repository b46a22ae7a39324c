"""What a stage costs in a month, from the topology, the stage and a dated table of prices: ``scripts/cost``.

Promise: every quantity is computed from what is deployed, or is an assumption that is printed. Limit: a list price is no bill;
there are no discounts, no free tier, no taxes, and no data transfer to the internet. Imports no CDK: it answers in a fraction of a second.
"""
