"""A Redis server of our own, on a free port of 127.0.0.1, and the network latency that it does not have by itself.

Promise: nothing is written to disk, and the server ends with us. Limit: the latency holds back what the server says, in order, and
not what it hears, as the fake AWS does.
Use: ``with Redis.started() as redis``. Only the standard library.
"""

from benchmarks.redis_server.control import Redis

__all__ = ["Redis"]
