"""How programs talk to us: tokens, problem documents, answers that are given once.

Each part is for routers of the workload to use; this room knows no route. Limit: JSON bodies only, no webhooks, no OAuth.

Stores the hashes of tokens, and for a day the answers to requests that carried an ``Idempotency-Key``.
"""
