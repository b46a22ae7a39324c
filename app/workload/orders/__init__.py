"""Orders: what a customer wants is charged, reserved, confirmed and shipped as a whole, or all of it is undone.

Promise: an order that was accepted ends fulfilled or failed, with a reason; of a failed one nothing is left: the money is back, the stock
is on the shelf, the customer has an apology. Each effect is had once, whatever is killed on the way. Stock is never negative.
Limit: one card, one currency, no parts of an order. By SMTP and SES, mails are at least once, under one Message-ID.
Use: ``services.place_order(…)``, ``POST /api/orders``; ``sagas.py`` declares the steps. Payments are asked for by task name.
Stores: ``Product``, ``Order``, ``OrderLine``, ``Shipment``, ``DailySales``; the saga ``orders.fulfil``.
"""
