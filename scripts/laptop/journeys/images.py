"""The shop shows its goods. Of three files one is a picture, one is a letter, and one is a bomb that would fill the memory."""

import io
import struct
import uuid
import zlib
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from scripts.laptop.demo import DemoFailed, Shop, Story

_FINAL_WITHIN = timedelta(seconds=60)
_FINAL = {"ready", "refused"}
_BOMB_EDGE = 50_000


def show_the_goods(shop: Shop) -> Story:
    """Raises :class:`DemoFailed` when the API does not do its part; what became of the files is in the story."""
    story = Story(
        title="Images",
        columns=("file", "state", "size", "why", "thumbnails", "took"),
        right=frozenset({"size", "thumbnails", "took"}),
    )
    morning = uuid.uuid4().hex[:8]
    files = {"mill.jpg": (_photo(), ""), "letter.png": (b"Dear Sir or Madam\n", "not-an-image"), "bomb.png": (_bomb(), "too-many-pixels")}
    images = [_upload(shop, name, content, morning) for name, (content, _) in files.items()]
    _wait_until_final(shop, images)
    for image in images:
        why = (image["refusal"] or {"code": ""})["code"]
        size = f"{image['width']} x {image['height']}" if image["width"] else "-"
        story.rows.append((image["name"], image["state"], size, why, str(len(image["thumbnails"])), _took(image)))
        story.expect(
            why == files[image["name"]][1], f"{image['name']} must end with {files[image['name']][1] or 'thumbnails'}, ended {why}."
        )
    _check_thumbnail(shop, images[0], story)
    return story


def _photo() -> bytes:
    from PIL import Image, ImageDraw  # here and not above: scripts/run must not wait for it

    picture = Image.linear_gradient("L").resize((2400, 1600)).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for ring in range(12):
        edge = 60 * ring
        pen.ellipse((400 + edge, 100 + edge, 1900 - edge, 1500 - edge), outline=(90 + 12 * ring, 60, 220 - 14 * ring), width=24)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return content.getvalue()


def _bomb() -> bytes:
    """A PNG of a few hundred bytes that announces 2.5 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", _BOMB_EDGE, _BOMB_EDGE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def _upload(shop: Shop, name: str, content: bytes, morning: str) -> dict[str, Any]:
    shop.doing = f"uploading {name}"
    answer = shop.post_file("/api/images", name, content, idempotency_key=f"image-{morning}-{name}")
    if answer.status != HTTPStatus.CREATED:
        raise DemoFailed(f"POST /api/images with {name}: expected 201, got {answer.status}: {answer.body}")
    image: dict[str, Any] = answer.body
    return image


def _wait_until_final(shop: Shop, images: list[dict[str, Any]]) -> None:
    def are_final() -> bool:
        for image in images:
            if image["state"] not in _FINAL:
                image.update(shop.get(image["links"]["self"]).body)
        return all(image["state"] in _FINAL for image in images)

    def describe() -> str:
        return f"{sum(image['state'] in _FINAL for image in images)} of {len(images)} files are looked at"

    if not shop.wait_until(are_final, describe, _FINAL_WITHIN):
        waiting = ", ".join(f"{image['name']} ({image['state']})" for image in images if image["state"] not in _FINAL)
        raise DemoFailed(f"Not final after {_FINAL_WITHIN.seconds} s: {waiting}. See var/log/worker-cpu-intensive.log.")


def _check_thumbnail(shop: Shop, photo: dict[str, Any], story: Story) -> None:
    from PIL import Image

    made = photo["thumbnails"].get("small")
    if made is None:
        story.expect(False, f"{photo['name']} has no small thumbnail, only {sorted(photo['thumbnails'])}.")
        return
    with Image.open(io.BytesIO(shop.download(made["link"]))) as thumbnail:
        found = (thumbnail.format, *thumbnail.size)
    story.expect(found == ("WEBP", made["width"], made["height"]), f"The small thumbnail is {found}, {made} was announced.")
    story.proven.append(f"the picture has {len(photo['thumbnails'])} thumbnails; the letter and the bomb were refused by the same worker")


def _took(image: dict[str, Any]) -> str:
    took = datetime.fromisoformat(image["finished_at"]) - datetime.fromisoformat(image["created_at"])
    return f"{took.total_seconds():.2f} s"
