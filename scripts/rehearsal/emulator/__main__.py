"""Serves ministack on two ports of loopback: what comes to the first counts as TLS, what comes to the second as plain HTTP.

The first stands for a load balancer that has ended TLS and says so in ``X-Forwarded-Proto``; policies that refuse plain HTTP see the
difference. No certificate is involved.
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from scripts.rehearsal.emulator.corrections import correct
from scripts.rehearsal.emulator.decisions import Decisions
from scripts.rehearsal.emulator.mails import Mails

HOST = "127.0.0.1"
_KEEP_ALIVE_SECONDS = 75
_MANY_REQUESTS = 10_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="The emulated AWS of a rehearsal.")
    parser.add_argument("--port", type=int, required=True, help="calls to this port count as TLS")
    parser.add_argument("--plain-port", type=int, required=True, help="calls to this port count as plain HTTP")
    parser.add_argument("--decisions", type=Path, required=True, help="file that gets the decisions of IAM, one JSON object a line")
    parser.add_argument("--mails", type=Path, required=True, help="directory that gets the mails")
    options = parser.parse_args()
    Mails(options.mails).deliver()
    Decisions(options.decisions).record()
    correct()
    from ministack.app import app  # reads its environment while it is imported

    config = Config()
    config.bind = [f"{HOST}:{options.port}", f"{HOST}:{options.plain_port}"]
    config.keep_alive_timeout = _KEEP_ALIVE_SECONDS
    # Otherwise a worker's connection is closed under it after a thousand calls.
    config.keep_alive_max_requests = _MANY_REQUESTS

    async def labelled(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["server"][1] == options.port:
            scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        await app(scope, receive, send)

    asyncio.run(serve(labelled, config))


if __name__ == "__main__":
    main()
