"""``python -m scripts.laptop.gateway``: serve payments until a signal ends it."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from scripts.laptop.gateway.gateway import Gateway
from scripts.laptop.gateway.server import Server
from scripts.laptop.loopback import serve


def main() -> None:
    """Serve payments until a signal ends it."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.laptop.gateway", description="A payment gateway on a laptop, in Stripe's dialect."
    )
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port")
    parser.add_argument("--journal", type=Path, required=True, help="the file that remembers everything (JSON lines)")
    arguments = parser.parse_args()
    serve(Server(arguments.port, Gateway(arguments.journal, now=lambda: datetime.now(UTC))))


if __name__ == "__main__":
    main()
