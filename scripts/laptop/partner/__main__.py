"""``python -m scripts.laptop.partner``: serve until a signal ends it."""

import argparse

from scripts.laptop.loopback import serve
from scripts.laptop.partner.partner import Partner
from scripts.laptop.partner.server import Server


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m scripts.laptop.partner", description="Another company's server on a laptop.")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port")
    serve(Server(parser.parse_args().port, Partner()))


if __name__ == "__main__":
    main()
