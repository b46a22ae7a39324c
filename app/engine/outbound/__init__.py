"""Calls to other companies' servers, which reach nothing of ours and end in time.

Promise: a call leaves only to a public address, which is resolved once, checked, and connected to; each redirect is checked like the first
address, at most 3, never from https to http, and another host gets neither headers nor body. It ends within 10 seconds, whatever the
server does, and keeps at most 1 MB of the answer in memory, counted unpacked. Proxies and credentials of the environment are not used.
Limit: one connection a call; answers in gzip or deflate only. A name of ``OUTBOUND_ALLOWED_ADDRESSES`` may have any address.
Use: ``client().send("POST", "https://api.example.com/quotes", json={…}, headers={…})``, behind a circuit breaker.
Stores: nothing. Emits: nothing.
"""

from app.engine.outbound.answer import Answer
from app.engine.outbound.client import Client, client
from app.engine.outbound.errors import AnswerUnusable, CallRefused, PartnerAway
from app.engine.outbound.limits import Limits

__all__ = ["Answer", "AnswerUnusable", "CallRefused", "Client", "Limits", "PartnerAway", "client"]
