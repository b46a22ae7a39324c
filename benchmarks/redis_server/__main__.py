"""``python -m benchmarks.redis_server``: run a Redis server and a way to it that is longer.

Prints the ports of the server and of the long way. Each line on stdin is a new latency in seconds; it ends with stdin or SIGTERM.
"""

import asyncio
import signal
import socket
import sys
import tempfile

from benchmarks.redis_server.distance import Distance

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 10


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


async def _answers(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(_HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def _serve(folder: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, ended.set)
    port = _free_port()
    server = await asyncio.create_subprocess_exec(
        *("redis-server", "--bind", _HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(_answers(port), _PATIENCE_SECONDS)
        distance = Distance(_HOST, port)
        long_way = await loop.create_server(distance.connection, _HOST, 0)

        def obey() -> None:
            line = sys.stdin.readline()
            if line:
                distance.latency_seconds = float(line)
                # The harness waits for it: what comes next is to have the new latency.
                print("obeyed", flush=True)
            else:
                # The parent held the other end: when it dies, however it dies, so do we.
                ended.set()

        loop.add_reader(sys.stdin, obey)
        print(port, long_way.sockets[0].getsockname()[1], flush=True)
        await ended.wait()
        long_way.close()
    finally:
        server.terminate()
        await server.wait()


with tempfile.TemporaryDirectory(prefix="benchmark-redis-") as _folder:
    asyncio.run(_serve(_folder))
