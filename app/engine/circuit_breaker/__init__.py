"""A partner that fails is left alone for a while, by all workers at once.

Promise: after 5 failures in a row no process of the deployment calls it for a minute; then exactly one call goes out, the probe. If that
succeeds, all go on, if it fails, the pause doubles, up to ten minutes. A probe that is killed is followed by another one when its lease is
over. A job that is refused is put off: it does not leave, costs no attempt, and its receives are counted anew.
Limit: others learn of a change within a second, and the clocks of workers must agree to a second. Calls that are under way when it opens go
on. While DynamoDB is away each process counts for itself and lets calls through.
Use: ``with breaker("partner").call(): …`` around one call; raise a ``TransientError`` in it for what is the partner's failure.
Stores: one item a breaker in the table ``breakers``, forgotten a week after its last change.
Emits: log lines ``breaker opened``, ``breaker probed``, ``breaker closed``, ``breaker counts alone``; the metric ``BreakerOpenings``.
"""

from app.engine.circuit_breaker.breaker import Breaker, breaker
from app.engine.circuit_breaker.errors import CircuitOpen
from app.engine.circuit_breaker.policy import BreakerPolicy
from app.engine.circuit_breaker.record import Record, State
from app.engine.circuit_breaker.shared_records import SharedRecords, shared_records

__all__ = ["Breaker", "BreakerPolicy", "CircuitOpen", "Record", "SharedRecords", "State", "breaker", "shared_records"]
