"""The way to Redis that is longer, in front of a server that echoes."""

import asyncio
import time

from benchmarks.redis_server.distance import Distance

HOST = "127.0.0.1"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def exchange(latency_seconds: float, lines: list[bytes]) -> tuple[list[bytes], float]:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, HOST, 0)
    distance = Distance(HOST, server.sockets[0].getsockname()[1])
    distance.latency_seconds = latency_seconds
    way = await loop.create_server(distance.connection, HOST, 0)
    reader, writer = await asyncio.open_connection(HOST, way.sockets[0].getsockname()[1])
    began = time.monotonic()
    for line in lines:
        writer.write(line)
        await writer.drain()
    answers = [await reader.readline() for _ in lines]
    elapsed = time.monotonic() - began
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    way.close()
    server.close()
    return answers, elapsed


def test_answers_come_later_in_order_and_all_of_them() -> None:
    lines = [b"%d\n" % number for number in range(1_000)]

    answers, elapsed = asyncio.run(exchange(0.2, lines))

    assert answers == lines
    # Later once, not once each.
    assert 0.2 <= elapsed < 20


def test_without_a_latency_it_adds_none() -> None:
    answers, elapsed = asyncio.run(exchange(0.0, [b"one\n"]))

    assert answers == [b"one\n"]
    assert elapsed < 2
