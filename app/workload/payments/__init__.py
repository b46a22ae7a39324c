"""Payments: charge a card exactly once, give it back exactly once, and keep books that add up.

Promise: a payment that was accepted is captured at most once, whatever is retried, redelivered, killed or lost on the way, and is
resumed until it is captured or declined; ``services.process_payment`` draws how, ``refunds.process_refund`` the way back. Every movement
is posted with the row that says it happened, in lines that add up to zero.
Limit: one charge in full, by card, and one refund in full; no 3-D Secure. Mails are at least once.
Use: ``services.request_payment(…)``, ``POST /api/payments``, ``POST /api/payments/<id>/refund``. Other apps by task name:
``payments.charge_reference`` and ``payments.refund_reference``, one payment each reference.
Stores: ``Payment``, ``Refund``, ``Posting`` and its lines, ``Balance``, ``BalanceEntry``.
"""
