"""A call ends in time and takes bounded memory, whatever the server does."""

import gzip
import resource
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.engine.outbound import AnswerUnusable, CallRefused, Client, Limits, PartnerAway
from app.engine.outbound.answer import unpacked
from app.engine.outbound.resolving import resolve
from tests.support.environment import PARTNER_PORT

QUICK = Limits(resolve_seconds=0.5, connect_seconds=0.5, read_seconds=0.8, total_seconds=1.5)
MEGABYTE = 1_000_000


@pytest.fixture
def quote(partner: Any) -> Callable[..., Any]:
    def send(limits: Limits | None = None) -> Any:
        client = Client(allowed=frozenset({f"127.0.0.1:{PARTNER_PORT}"}), limits=limits)
        return client.send("POST", f"{partner.url}/v1/shipping/quotes", json={"weight_grams": 100}, headers={"Authorization": "Bearer key"})

    return send


def test_a_server_that_works_is_heard(quote: Callable[..., Any]) -> None:
    answer = quote()

    assert (answer.status, answer.is_success, answer.json()["price_minor"]) == (200, True, 500)


@pytest.mark.parametrize(("mode", "status", "is_failure"), [("error_500", 500, True), ("busy", 429, True), ("deny", 422, False)])
def test_whose_failure_a_status_is(quote: Callable[..., Any], partner: Any, mode: str, status: int, is_failure: bool) -> None:
    partner.fault("quote", mode)
    answer = quote()

    assert (answer.status, answer.is_success, answer.is_partners_failure) == (status, False, is_failure)


@pytest.mark.parametrize("mode", ["hang", "drip", "drip_headers", "reset"])
def test_a_server_that_does_not_come_to_an_end_is_cut(quote: Callable[..., Any], partner: Any, mode: str) -> None:
    partner.fault("quote", mode)
    began = time.monotonic()
    with pytest.raises(PartnerAway):
        quote(QUICK)

    assert time.monotonic() - began < QUICK.total_seconds + 1


@pytest.mark.long
@pytest.mark.parametrize("mode", ["hang", "drip", "drip_headers"])
def test_by_default_it_takes_ten_seconds_at_most(quote: Callable[..., Any], partner: Any, mode: str) -> None:
    partner.fault("quote", mode)
    began = time.monotonic()
    with pytest.raises(PartnerAway):
        quote()

    assert time.monotonic() - began < 10


def test_an_address_where_nobody_answers_costs_the_time_to_connect() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = []
        for _ in range(3):  # fill its backlog: what comes next gets no answer, as in a black hole
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            waiting.append(one)
        began = time.monotonic()
        with pytest.raises(PartnerAway):
            Client(allowed=frozenset({f"127.0.0.1:{address[1]}"}), limits=QUICK).send("GET", f"http://127.0.0.1:{address[1]}/")
        assert time.monotonic() - began < QUICK.total_seconds + 0.5
        for one in waiting:
            one.close()


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> list[Any]:
        time.sleep(1.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(PartnerAway, match="not resolved within"):
        resolve("partner.example.com", 443, 0.2)

    assert time.monotonic() - began < 1


@pytest.mark.parametrize("mode", ["big", "bomb"])
def test_an_answer_that_is_too_large_is_cut_in_bounded_memory(quote: Callable[..., Any], partner: Any, mode: str) -> None:
    quote()
    partner.fault("quote", mode)
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with pytest.raises(AnswerUnusable, match="larger than 1,000,000 bytes"):
            quote()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 * MEGABYTE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_a_redirect_keeps_the_body_for_the_same_host_and_leads_to_no_address_of_ours(quote: Callable[..., Any], partner: Any) -> None:
    partner.fault("quote", "redirect", location=partner.url + "/v1/shipping/quotes", times=1)

    assert quote().json()["price_minor"] == 500
    partner.fault("quote", "redirect", location="http://169.254.169.254/latest/meta-data/")
    with pytest.raises(CallRefused, match="169"):
        quote()


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[place : place + 1000] for place in range(0, len(data), 1000))


def test_what_fits_exactly_is_taken_packed_or_not() -> None:
    body = b"0123456789" * 10_000

    for encoding, packed in (("", body), ("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        assert unpacked(pieces(packed), encoding, len(body)) == body
        with pytest.raises(AnswerUnusable, match="larger"):
            unpacked(pieces(packed), encoding, len(body) - 1)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", b"not gzip"), ("gzip", gzip.compress(b"0" * 5000)[:-10]), ("br", b"x"), ("gzip, gzip", gzip.compress(gzip.compress(b"0")))],
    ids=["no gzip", "cut", "unknown", "twice"],
)
def test_what_cannot_be_unpacked_is_told(encoding: str, body: bytes) -> None:
    with pytest.raises(AnswerUnusable):
        unpacked([body], encoding, MEGABYTE)


class TlsServer(ThreadingHTTPServer):
    """Answers 200 and keeps the names that it was asked for."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        super().__init__(("127.0.0.1", 0), SimpleHTTPRequestHandler)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us hangs up."""


def test_https_asks_for_the_certificate_of_the_name_that_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=public.example.com", "-addext", "subjectAltName=DNS:public.example.com"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with TlsServer(certificate, key) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        port = server.server_address[1]
        allowed = frozenset({f"public.example.com:{port}", f"other.example.com:{port}"})
        client = Client(allowed=allowed, resolver=lambda *_: ["127.0.0.1"])

        assert client.send("HEAD", f"https://public.example.com:{port}/").status == 200
        with pytest.raises(PartnerAway, match="SSLError"):
            client.send("HEAD", f"https://other.example.com:{port}/")
        server.shutdown()

    assert server.names == ["public.example.com", "other.example.com"]
