"""Integrations: calls to a partner, behind a circuit breaker, and its users, kept up to date.

Promise: only endpoints of the registry are called, never a URL of a user. A call is recorded with what became of it; while the partner is
away it is postponed and loses no attempt. Each change of a user that the partner tells of is taken over, the newest version wins.
``calls`` and ``users`` draw how.
Limit: a partner that does not know our idempotency keys may act twice, when an answer got lost.
Use: ``publish("integrations.call_external_api", endpoint_name=…, payload=…)``, ``POST /api/integrations/calls``.
Stores: ``PartnerCall``, ``PartnerUser``, ``SyncCursor``; the breakers of ``endpoints``.
"""
