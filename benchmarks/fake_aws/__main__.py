"""``python -m benchmarks.fake_aws``: serve on a free port of 127.0.0.1, print the address, end with stdin or SIGTERM."""

import asyncio
import gc
import signal
import sys

from benchmarks.fake_aws.bench import Bench
from benchmarks.fake_aws.http import Connection
from benchmarks.fake_aws.operations import DynamoDb, Sqs

_HOST = "127.0.0.1"


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, ended.set)
    # The parent holds the other end: when it dies, however it dies, so do we.
    loop.add_reader(sys.stdin, ended.set)
    server: asyncio.Server | None = None
    dynamodb = DynamoDb()
    parts: list[tuple[Sqs, Bench]] = []
    server = await loop.create_server(lambda: Connection(parts[0][0], dynamodb, parts[0][1]), _HOST, 0, backlog=1024)
    address = f"http://{_HOST}:{server.sockets[0].getsockname()[1]}"
    sqs = Sqs(address)
    parts.append((sqs, Bench(sqs, dynamodb)))
    # A backlog is a hundred thousand objects that live: looking through them again and again would be measured.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    print(address, flush=True)
    await ended.wait()
    server.close()


asyncio.run(_serve())
