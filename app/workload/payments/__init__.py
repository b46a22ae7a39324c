"""Payments: charge a card exactly once, then confirm by mail and add to the owner's balance.

Promise: a payment that was accepted is captured at most once, whatever is retried, redelivered, killed or lost on the way, and is
resumed until it is captured or declined. ``services.process_payment`` draws how.
Limit: one charge in full, by card; no refunds, no 3-D Secure. The confirmation mail is at least once.
Use: ``services.request_payment(…)``, ``POST /api/payments``.
Stores: ``Payment``, ``Balance``, ``BalanceEntry``.
"""
