"""The harness's books of a Redis server, where there is one."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from benchmarks.redis_server import Redis
from benchmarks.redis_server.wire import RedisRefused, Wire
from tests.support.eventually import eventually

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server on the PATH")
QUEUE = "q"


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis.started() as server:
        server.create_queue(QUEUE)
        yield server


def stack_of(redis: Redis) -> Wire:
    address = urlsplit(redis.address)
    return Wire(str(address.hostname), int(address.port or 0))


def publish(redis: Redis, *bodies: str) -> None:
    wire = stack_of(redis)
    wire.ask_all([("LPUSH", QUEUE, body) for body in bodies])
    wire.close()


def test_what_was_kept_can_be_sent_again_and_again_oldest_first(redis: Redis) -> None:
    publish(redis, "a", "b", "c", "d")
    assert redis.keep(QUEUE) == 4
    worker = stack_of(redis)

    for _ in range(2):
        redis.refill(QUEUE, 0, 2)
        assert [worker.ask("RPOP", QUEUE) for _ in range(3)] == ["a", "b", None]
    worker.close()


def test_a_message_counts_as_deleted_when_it_is_neither_waiting_nor_in_hand(redis: Redis) -> None:
    publish(redis, "a", "b")
    before = redis.account()
    worker = stack_of(redis)

    worker.ask("RPOP", QUEUE)
    worker.ask("HSET", "unacked", "tag", "a")
    assert redis.account().since(before, QUEUE, "deleted") == 0
    worker.ask("HDEL", "unacked", "tag")
    assert redis.account().since(before, QUEUE, "deleted") == 1
    redis.clear()
    assert redis.account().since(before, QUEUE, "deleted") == 1
    assert redis.account().queue(QUEUE, "sent") == 2
    worker.close()


def test_a_slow_refill_brings_everything(redis: Redis) -> None:
    publish(redis, *"abcdefgh")
    redis.keep(QUEUE)
    worker = stack_of(redis)

    redis.refill(QUEUE, 0, 8, per_second=100)

    eventually(lambda: worker.ask("LLEN", QUEUE), 8)
    assert worker.ask("RPOP", QUEUE) == "a"
    worker.close()


def test_results_are_counted_apart_and_forgotten(redis: Redis) -> None:
    worker = stack_of(redis)
    worker.ask("SELECT", 1)
    worker.ask("SET", "celery-task-meta-1", "{}")

    assert redis.account().results() == 1
    redis.clear()
    assert redis.account().results() == 0
    worker.close()


def test_with_a_latency_there_is_another_way_to_the_same_server(redis: Redis) -> None:
    near = redis.address
    redis.set_latency(timedelta(milliseconds=5))
    assert redis.address != near

    publish(redis, "a")

    assert redis.account().queue(QUEUE, "sent") == 1


def test_an_error_of_redis_is_raised_and_the_connection_stays_good(redis: Redis) -> None:
    wire = stack_of(redis)

    with pytest.raises(RedisRefused, match="unknown command"):
        wire.ask_all([("PING",), ("NONSENSE",), ("PING",)])
    assert wire.ask("PING") == "PONG"
    wire.close()
