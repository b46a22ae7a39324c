"""From a file that anybody may have made to an image that may be decoded.

What it would cost is read from its header. Nothing is decoded here.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image, UnidentifiedImageError

from app.workload.images.errors import Refused

MOST_PIXELS = {"JPEG": 50_000_000, "PNG": 50_000_000, "GIF": 50_000_000, "WEBP": 16_000_000}
"""WebP's decoder holds each pixel four times."""
LONGEST_SIDE = 32_000
MOST_FRAMES = 500
#: Whatever a damaged file makes a decoder say.
_DAMAGES = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error, zlib.error)
_LONGEST_HEADER = 32


@contextmanager
def opened(file: IO[bytes]) -> Iterator[Image.Image]:
    """The image in a file: small enough to decode, by what its header says. Raises :class:`Refused`, also in the block if it is damaged."""
    head = file.read(_LONGEST_HEADER)
    kind = _kind_of(head)
    file.seek(0)
    if kind is None:
        raise Refused("not-an-image", "This is no JPEG, PNG, WebP or GIF.")
    try:
        if kind == "WEBP":
            # Pillow takes memory for it when it opens it.
            _check_size(kind, *_webp_size(head))
        elif kind == "GIF":
            _check_frames(_gif_frames(file.read()))
            file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file, formats=[kind])
        with image:
            _check_size(kind, *image.size)
            if kind != "GIF":  # Pillow would decode them all to count them
                _check_frames(int(getattr(image, "n_frames", 1)))
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too-many-pixels", f"Its header announces far more than {MOST_PIXELS[kind] // 1_000_000} megapixels.") from error
    except UnidentifiedImageError as error:
        raise Refused("not-an-image", f"It begins like a {kind} and is none.") from error
    except _DAMAGES as error:
        raise Refused("damaged", f"It is a damaged {kind}: {error}"[:500]) from error


def _kind_of(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return None


def _check_size(kind: str, width: int, height: int) -> None:
    most = MOST_PIXELS[kind]
    if width * height > most:
        raise Refused(
            "too-many-pixels",
            f"It has {width:,} by {height:,} pixels; of a {kind} at most {most // 1_000_000} megapixels are accepted.",
        )
    if max(width, height) > LONGEST_SIDE:
        raise Refused("too-many-pixels", f"It has {width:,} by {height:,} pixels; a side has at most {LONGEST_SIDE:,}.")
    if not (width and height):
        raise Refused("damaged", f"It has {width} by {height} pixels.")


def _check_frames(frames: int) -> None:
    if frames > MOST_FRAMES:
        raise Refused("too-many-frames", f"It is an animation of more than {MOST_FRAMES} frames.")


def _webp_size(head: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    chunk, data = head[12:16], head[20:]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise Refused("damaged", "It is a damaged WEBP: its first chunk is unknown.")


def _gif_frames(data: bytes) -> int:
    """How many frames there are, counted by their blocks and up to one more than are accepted.

    https://www.w3.org/Graphics/GIF/spec-gif89a.txt
    """
    frames, at = 0, 13 + _table_bytes(data[10])
    while at < len(data) and frames <= MOST_FRAMES:
        introducer = data[at]
        if introducer == 0x21:  # noqa: PLR2004 — an extension
            at += 2
        elif introducer == 0x2C:  # noqa: PLR2004 — an image
            frames += 1
            at += 11 + _table_bytes(data[at + 9])
        else:  # the trailer, or what no decoder reads on from
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return frames


def _table_bytes(packed: int) -> int:
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0
