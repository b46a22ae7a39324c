"""Another company's server on a laptop: ``python -m scripts.laptop.partner --port N`` quotes shipping and knows users.

- What it does: ``POST /v1/shipping/quotes``, ``GET /v1/users/changes?after=&limit=`` and ``GET /v1/users/<id>``, with a key. Faults can
  be ordered for the next calls of an operation.
- Its limit: it forgets everything when it ends; a quote depends on the weight only.
- How to use it: point ``PARTNER_API_BASE`` here, and put its host:port into ``OUTBOUND_ALLOWED_ADDRESSES``.
- What it stores: nothing.
- What it emits: ``GET /_journal``, what was asked, in order: operation, fault, whether a key came, the idempotency key.

How to break it: ``POST /_faults {"operation": "quote|changes|user", "mode": …, "times": 1, "location": ""}``, ``DELETE /_faults``.
``POST /_users [{"id": …, "name": …, "email": …}]`` changes users.

| mode | answer |
|---|---|
| error_500, busy | 500; 429 |
| deny | 422, a refusal in words |
| reset | connection reset |
| hang | none |
| drip, drip_headers | a byte every tenth of a second |
| big | 12 MB of JSON |
| bomb | 50 MB of JSON in 220 kB of gzip |
| redirect | 307 to ``location`` |
"""
