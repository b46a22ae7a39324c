"""Nothing that is not of the public internet is ever connected to, however it is written."""

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.engine.outbound import CallRefused, Client, Limits
from app.engine.outbound import connections as outbound_connections

PUBLIC = "93.184.215.14"
PRIVATE_ADDRESSES = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1"),
    *("192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:93.184.215.14", "::127.0.0.1", "fe80::1", "fe80::1%eth0"),
    *("fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001::1", "2001:0:7f00:1::1"),
    *("2001:db8::1", "3fff::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "100::1", "::ffff:0:127.0.0.1", "5f00::1"),
]
#: Each is an address of ours in the eyes of some program.
CUNNING_URLS = [
    *("http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://127.1/"),
    *("http://127.0.1/", "http://0/", "http://127.0.0.1./", "http://localhost./", "http://[::1%25lo]/", "http://[::1%lo]/"),
    *("http://partner@127.0.0.1/", "http://public.example.com@127.0.0.1/", "http://127.0.0.1@public.example.com/", "http://a:b@[::1]/"),
    *("http://public.example.com\\@127.0.0.1/", "http://127.0.0.1\\.public.example.com/", "http://127.0.0.1 .public.example.com/"),
    *("http://127.0.0.1%2f.public.example.com/", "http://%31%32%37.0.0.1/", "http://①②⑦.0.0.1/", "http://127。0。0。1/"),
    *("http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:127.0.0.1]/", "http://[v1.fe80::a]/", "http://[::1/", "http://::1/"),
    *("file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "//127.0.0.1/", "127.0.0.1/", "http:///", "http://", ""),
    *("http://127.0.0.1\t/", "http://127.0.0.1\n/", "http://\x00127.0.0.1/", "http://127.0.0.1:99999/", "http://127.0.0.1:port/"),
    *(
        "http://public.example.com:22/",
        "http://public.example.com:6379/",
        "https://public.example.com:8443/",
        "http://public.example.com:0/",
    ),
    *("http://1.1.1.1.1/", "http://999.1.1.1/", "http://0xa9fea9fe/", "http://2852039166/", "http://0251.0376.0251.0376/"),
    "http://" + "a" * 2000 + "/",
]


class Canary:
    """Whatever the client connects to, it comes here: it must come only for what is public. ``answers`` are given in turn."""

    def __init__(self) -> None:
        self.connections: list[tuple[str, int]] = []
        self.requests: list[dict[str, Any]] = []
        self.redirects: list[str] = []
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                canary.requests.append({"method": self.command, "path": self.path, "body": self.rfile.read(length), **dict(self.headers)})
                location = canary.redirects.pop(0) if canary.redirects else ""
                self.send_response(canary.status if location else 200)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET  # noqa: N815 — http.server's word

            def log_message(self, *_: Any) -> None:
                pass

        self.status = 302
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def connect(self, address: tuple[str, int], timeout: float, socket_options: Any = None) -> socket.socket:
        self.connections.append(address)
        return socket.create_connection(("127.0.0.1", self.server.server_address[1]), timeout)


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    made = Canary()
    monkeypatch.setattr(outbound_connections, "create_connection", made.connect)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Names:
    """A resolver: each name answers with its lists in turn, the last one for ever."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = {name.replace("_", "."): answers for name, answers in names.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, seconds: float) -> Sequence[str]:
        self.asked.append(host)
        answers = self.names.get(host, [[PUBLIC]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


def client(names: Names | None = None, **options: Any) -> Client:
    return Client(allowed=frozenset(options.pop("allowed", ())), resolver=names or Names(), **options)


def test_what_is_public_is_called_so_that_the_canary_is_one(canary: Canary) -> None:
    answer = client().send("GET", "http://public.example.com/path?a=1")

    assert (answer.status, answer.json()) == (200, {})
    assert canary.connections == [(PUBLIC, 80)]
    assert (canary.requests[0]["path"], canary.requests[0]["Host"]) == ("/path?a=1", "public.example.com")
    client().send("GET", "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/")
    client(Names(six_example_com=[["64:ff9b::5db8:d70e"]])).send("GET", "http://six.example.com/")
    assert [address for address, _ in canary.connections[1:]] == ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"]


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_no_address_of_ours_is_reached_by_a_name_by_itself_or_by_a_redirect(canary: Canary, address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    for name, url in (("inner_example_com", "http://inner.example.com/"), ("x", f"http://{literal}/"), ("x", f"https://{literal}/")):
        with pytest.raises(CallRefused):
            client(Names(**{name: [[address]]})).send("GET", url)
    # One that is wrong makes the name wrong.
    with pytest.raises(CallRefused):
        client(Names(inner_example_com=[[PUBLIC, address]])).send("GET", "http://inner.example.com/")
    assert canary.connections == []

    for location in (f"http://{literal}/latest/meta-data/", f"//{literal}/", "http://inner.example.com/"):
        canary.redirects = [location]
        with pytest.raises(CallRefused):
            client(Names(inner_example_com=[[address]])).send("GET", "http://public.example.com/")
    assert canary.connections == [(PUBLIC, 80)] * 3


@pytest.mark.parametrize("url", CUNNING_URLS)
def test_no_cunning_way_to_write_an_address_leads_anywhere(canary: Canary, url: str) -> None:
    names = Names()
    with pytest.raises(CallRefused):
        client(names).send("GET", url)
    assert (canary.connections, names.asked) == ([], [])


#: Without a scheme or a host they are paths of the public host; and what no header can carry.
HEADER_URLS = [url for url in CUNNING_URLS if re.match(r"[a-z]+://(?!/|$)|file:", url) and url.isascii() and url.isprintable()]


@pytest.mark.parametrize("url", HEADER_URLS)
def test_nor_does_a_redirect_to_one(canary: Canary, url: str) -> None:
    canary.redirects = [url]
    names = Names()
    with pytest.raises(CallRefused):
        client(names).send("GET", "http://public.example.com/a/b/")

    assert (canary.connections, names.asked) == ([(PUBLIC, 80)], ["public.example.com"])


def test_a_name_is_resolved_once_and_that_address_is_connected_to(canary: Canary) -> None:
    names = Names(rebinding_example_com=[[PUBLIC], ["127.0.0.1"]])
    client(names).send("GET", "http://rebinding.example.com/")

    assert names.asked == ["rebinding.example.com"]
    assert canary.connections == [(PUBLIC, 80)]


def test_a_name_that_changes_its_mind_between_two_hops_is_checked_again(canary: Canary) -> None:
    canary.redirects = ["http://rebinding.example.com/again"]
    with pytest.raises(CallRefused, match="loopback"):
        client(Names(rebinding_example_com=[[PUBLIC], ["127.0.0.1"]])).send("GET", "http://rebinding.example.com/")

    assert canary.connections == [(PUBLIC, 80)]


def test_another_host_gets_neither_headers_nor_body(canary: Canary) -> None:
    secret = {"Authorization": "Bearer secret", "X-Key": "secret", "Cookie": "a=secret"}
    canary.redirects = ["/here", "http://other.example.com/there"]
    client().send("GET", "http://public.example.com/", headers=secret)
    assert ["Authorization" in request for request in canary.requests] == [True, True, False]
    assert "secret" not in str(canary.requests[2])

    canary.requests.clear()
    canary.status, canary.redirects = 307, ["http://other.example.com/there"]
    with pytest.raises(CallRefused, match="is not sent what was meant"):
        client().send("POST", "http://public.example.com/", json={"a": "secret"}, headers=secret)
    assert len(canary.requests) == 1

    canary.status, canary.redirects = 303, ["http://other.example.com/there"]
    client().send("POST", "http://public.example.com/", json={"a": "secret"}, headers=secret)
    assert (canary.requests[-1]["method"], canary.requests[-1]["body"]) == ("GET", b"")


def test_it_follows_three_redirects_and_no_more(canary: Canary) -> None:
    canary.redirects = ["/1", "/2", "/3"]
    assert client().send("GET", "http://public.example.com/").url == "http://public.example.com/3"

    canary.redirects = ["/1", "/2", "/3", "/4"]
    with pytest.raises(CallRefused, match="more than 3 times"):
        client().send("GET", "http://public.example.com/")


def test_neither_proxies_nor_credentials_of_the_environment_are_used(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine public.example.com login a password secret\n")
    for name, value in {"HTTP_PROXY": "http://127.0.0.1:3128", "http_proxy": "http://127.0.0.1:3128", "NETRC": str(netrc)}.items():
        monkeypatch.setenv(name, value)

    client().send("GET", "http://public.example.com/")

    assert canary.connections == [(PUBLIC, 80)]
    assert "Authorization" not in canary.requests[0]


def test_only_what_is_listed_by_host_and_port_is_an_exception(canary: Canary) -> None:
    allowed = {"127.0.0.1:8099", "inner.example.com:8080"}
    names = Names(inner_example_com=[["10.0.0.7"]])
    client(names, allowed=allowed).send("GET", "http://127.0.0.1:8099/")
    client(names, allowed=allowed).send("GET", "http://inner.example.com:8080/")
    assert canary.connections == [("127.0.0.1", 8099), ("10.0.0.7", 8080)]

    for url in ("http://127.0.0.1:8098/", "http://127.0.0.2:8099/", "http://inner.example.com/", "http://[::1]:8099/"):
        with pytest.raises(CallRefused):
            client(names, allowed=allowed).send("GET", url)
    assert len(canary.connections) == 2


def test_the_corpus_is_large_enough() -> None:
    assert len(PRIVATE_ADDRESSES) + len(CUNNING_URLS) >= 90
    assert Limits().total_seconds <= 10
