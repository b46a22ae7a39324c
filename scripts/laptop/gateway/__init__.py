"""A payment gateway on a laptop: ``python -m scripts.laptop.gateway --port N --journal FILE`` speaks Stripe's PaymentIntents.

- What it does: create, retrieve, confirm, cancel and list payment intents, create, retrieve and list refunds, for the real SDK.
  Idempotency keys work as Stripe documents them: an answer is stored once execution has begun, even a 402 or a 500; a refused
  parameter stores nothing. Faults can be ordered for the next calls of an operation.
- Its limit: one account's objects are everybody's; only idempotency keys are kept apart by API key. Parameters it does
  not know are ignored.
- How to use it: point the SDK's base address here, with any key that begins with ``sk_test_``.
- What it stores: the journal, JSON lines. An entry counts only once the ``request`` entry that ends its request is written, so a
  crash half-way is a request that never happened; a restart forgets nothing that was answered.
- What it emits: ``GET /_journal``, the entries of kind request, created, capture, decline, canceled and refund. A request that a
  fault left without execution and answer has status 0.

How to break it: ``POST /_faults {"operation": "create|confirm|retrieve|…", "mode": …, "times": 1, "seconds": 30}``, ``DELETE /_faults``.

| mode | executed | answer |
|---|---|---|
| refuse | no | connection reset |
| timeout_before, timeout_after | no, yes | none; the connection closes after ``seconds`` |
| error_500_before, error_500_after | no, yes | 500; the latter is stored under the idempotency key, as at Stripe |
| reset_after | yes | connection reset |
| slow | yes | the usual, ``seconds`` later; the idempotency key is in use meanwhile |
"""
