"""Images through the API, a real queue and a real worker, which survives them."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.images.pictures import gif_of, picture, png_that_announces, webp_that_announces
from tests.support.eventually import eventually

MOST_MIB = 600


@pytest.fixture(scope="module")
def shop(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    stack = _make_stack(tmp_path_factory.mktemp("images"))
    stack.start("web", "worker-cpu-intensive")
    yield stack
    stack.stop()


def upload(stack: Any, content: bytes, name: str) -> str:
    body = (
        f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/jpeg\r\n\r\n'.encode()
        + content
        + b"\r\n--x--\r\n"
    )
    request = urllib.request.Request(  # noqa: S310 — our own address
        f"{stack.url}/api/images",
        data=body,
        headers={"Authorization": f"Bearer {stack.token}", "Content-Type": "multipart/form-data; boundary=x"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 — the same
        return str(json.loads(answer.read())["id"])


def peak_mib(group: int) -> float:
    """The most memory that a process of the worker ever had, of those that are there."""
    peak = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            if int(status.parent.joinpath("stat").read_text().rpartition(")")[2].split()[2]) != group:
                continue
        except (OSError, ValueError):
            continue
        peak = max([peak, *(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM"))])
    return peak


def test_bombs_and_letters_and_great_pictures_leave_the_worker_alive_and_its_memory_bounded(shop: Any) -> None:
    worker = next(service for service in shop.services if service.name == "worker-cpu-intensive")
    truncated = picture("JPEG", (800, 600))
    wanted = {
        "bomb.png": (png_that_announces(50_000, 50_000), "refused", "too-many-pixels"),
        "bomb.webp": (webp_that_announces(16_384, 16_384), "refused", "too-many-pixels"),
        "bomb.gif": (gif_of(5000), "refused", "too-many-frames"),
        "letter.png": (b"Dear Sir or Madam\n", "refused", "not-an-image"),
        "truncated.jpg": (truncated[: len(truncated) // 2], "refused", "damaged"),
        "dot.png": (picture("PNG", (1, 1)), "ready", ""),
        "great.jpg": (picture("JPEG", (8000, 5000)), "ready", ""),
        "great.png": (picture("PNG", (8000, 5000), "RGBA", (200, 30, 30, 100)), "ready", ""),
    }
    ids = {name: upload(shop, content, name) for name, (content, _, _) in wanted.items()}
    peak = 0.0

    def states() -> dict[str, str]:
        nonlocal peak
        peak = max(peak, peak_mib(worker.process.pid))
        return {name: shop.request("GET", f"/api/images/{image}").body["state"] for name, image in ids.items()}

    eventually(states, {name: state for name, (_, state, _) in wanted.items()}, within=120)

    for name, image in ids.items():
        found = shop.request("GET", f"/api/images/{image}").body
        assert (found["refusal"] or {"code": ""})["code"] == wanted[name][2]
    great = shop.request("GET", f"/api/images/{ids['great.png']}").body
    assert (great["width"], great["height"], great["thumbnails"]["large"]["width"]) == (8000, 5000, 1280)
    assert worker.is_running
    assert 50 < peak < MOST_MIB
    # An outcome: neither retried, nor dead.
    eventually(lambda: shop.depth("cpu_intensive"), (0, 0), within=30)
    attributes = shop.sqs.get_queue_attributes(QueueUrl=shop.dead_letter_url("cpu_intensive"), AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "0"
    assert [line for line in worker.lines() if line.get("message") == "task failed"] == []

    shop.request("DELETE", f"/api/images/{ids['dot.png']}")
    left = "from app.workload.images import files\n" + f"print(len(files._storage().listdir('images/{ids['dot.png']}')[1]))"
    eventually(lambda: shop.python(left).stdout.split()[-1:], ["0"], within=30)
