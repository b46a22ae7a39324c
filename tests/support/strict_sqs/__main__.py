"""The process: it prints the address of its control port and serves until a signal, or until the one who started it is gone.

``POST /__shim/ports`` opens a port; beneath ``/__shim/ports/N`` are ``habits``, ``faults``, ``network`` and ``requests``.
"""

import argparse
import asyncio
import json
import os
import traceback
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from tests.support.faults import Fault, Network
from tests.support.strict_sqs.habits import Habits
from tests.support.strict_sqs.http11 import answer, read_head
from tests.support.strict_sqs.port import HOST, Port, Rule
from tests.support.strict_sqs.queues import Knowledge

_LOOK_AT_PARENT_SECONDS = 1.0


class Control:
    """The ports of the process, by number."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._knowledge = Knowledge()
        self._ports: dict[str, Port] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        head = await read_head(reader)
        if head is not None:
            body = await reader.readexactly(int(head.headers.get(b"content-length", b"0")))
            method, path, _ = head.start.decode().split(" ")
            try:
                status, document = 200, await self._do(method, path.strip("/").split("/")[1:], json.loads(body or b"{}"))
            except Exception:  # noqa: BLE001 — the test shall see it
                status, document = 500, traceback.format_exc()
            writer.write(answer(status, json.dumps(document).encode(), Connection="close").encode())
            await writer.drain()
        writer.close()

    async def _do(self, method: str, path: list[str], document: dict[str, Any]) -> Any:
        match method, path:
            case "POST", ["ports"]:
                port = Port(self._target, self._knowledge, Habits(**document["habits"]), document["seed"])
                await port.open()
                self._ports[str(port.number)] = port
                return port.number
            case "DELETE", ["ports", number]:
                self._ports.pop(number).close()
            case "PATCH", ["ports", number, "habits"]:
                queues = self._ports[number].queues
                queues.habits = replace(queues.habits, **document)
            case "POST", ["ports", number, "faults"]:
                self._ports[number].fail(Rule(**document | {"fault": Fault[document["fault"]]}))
            case "PUT", ["ports", number, "network"]:
                await self._ports[number].become(Network[document["state"]])
            case "GET", ["ports", number, "requests"]:
                return list(self._ports[number].requests)
            case "GET", ["ports", number, "open-requests"]:
                return self._ports[number].open_requests
            case "DELETE", ["ports", number, "requests"]:
                self._ports[number].requests.clear()
            case _:
                raise LookupError(f"{method} {path}")
        return None


async def _serve(target: tuple[str, int]) -> None:
    parent = os.getppid()
    control = Control(target)
    server = await asyncio.start_server(control.serve, HOST, 0)
    print(f"http://{HOST}:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 — the handshake
    while os.getppid() == parent:  # noqa: ASYNC110 — a killed session ends nobody, and the kernel tells only by this number
        await asyncio.sleep(_LOOK_AT_PARENT_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description="AWS at its least kind, in front of a local AWS.")
    parser.add_argument("--target", required=True, help="the local AWS's address")
    target = urlsplit(parser.parse_args().target)
    asyncio.run(_serve((target.hostname or HOST, target.port or 80)))


if __name__ == "__main__":
    main()
