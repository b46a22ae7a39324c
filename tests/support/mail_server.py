"""An SMTP server at the network's edge. What it answers stands in the recipient's name: ``later@``, ``unknown@``, ``spam@``, ``silent@``."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message

_ANSWERS = {
    "later": b"450 4.2.1 come back later",
    "unknown": b"550 5.1.1 no such mailbox",
    "busy": b"421 4.3.2 closing",
}


class MailServer(socketserver.ThreadingTCPServer):
    """Keeps what it has accepted. ``is_locked`` lets it accept no connection, ``is_kind`` lets it forget all refusals."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.accepted: list[Message] = []
        self.is_locked = False
        self.is_kind = False
        self.connections = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def recipients(self) -> list[str]:
        return [str(mail["To"]) for mail in self.accepted]


class _Dialogue(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.server.connections += 1
        if self.server.is_locked:
            self._say(b"421 4.3.2 not now")
            return
        self._say(b"220 mail.test")
        recipient = ""
        while line := self.rfile.readline():
            verb = line[:4].upper().strip()
            if verb in (b"EHLO", b"HELO"):
                self._say(b"250 mail.test")
            elif verb == b"RCPT":
                recipient = line.decode().partition("<")[2].partition("@")[0].rstrip("0123456789")
                if b"@" not in line:
                    self._say(b"501 5.1.3 no address")
                    continue
                self._say(b"250 ok" if self.server.is_kind else _ANSWERS.get(recipient, b"250 ok"))
            elif verb == b"DATA":
                self._say(b"354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                if recipient == "silent" and not self.server.is_kind:
                    return
                if recipient == "spam":
                    self._say(b"554 5.7.1 we do not want this")
                    continue
                self.server.accepted.append(message_from_bytes(text))
                self._say(b"250 2.0.0 queued")
            elif verb == b"QUIT":
                self._say(b"221 bye")
                return
            else:
                self._say(b"250 ok")

    def _say(self, reply: bytes) -> None:
        self.wfile.write(reply + b"\r\n")


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)
