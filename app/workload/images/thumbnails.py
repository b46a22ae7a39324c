"""From an image to small ones that hold nothing but pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO

from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

from app.workload.images.opening import opened

SIZES = {"large": 1280, "medium": 480, "small": 160}
"""Name → its longest side at most. From the largest to the smallest: each is made of the one before."""
CONTENT_TYPE = "image/webp"
_QUALITY = 82
_ORIENTATION = 0x0112
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_ROWS_AT_A_TIME = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """One of an image's small ones."""

    size: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What was made of an image. ``width`` and ``height`` are its own, upright."""

    kind: str
    width: int
    height: int
    thumbnails: tuple[Thumbnail, ...]


def make_thumbnails(file: IO[bytes]) -> Made:
    """A WebP of each size, never larger than the image. Raises :class:`~app.workload.images.errors.Refused`."""
    with opened(file) as image:
        kind = "JPEG" if image.format in ("JPEG", "MPO") else str(image.format)
        width, height = image.size
        longest = max(SIZES.values())
        # JPEG is decoded smaller than it is.
        image.draft(None, (2 * longest, 2 * longest))
        image.load()
        turn = _TURNS.get(_orientation(image))
        profile = image.info.get("icc_profile")
        small = _reduced(image, longest)
    small.thumbnail((longest, longest), Resampling.LANCZOS)
    small = _in_srgb(small, profile)
    if turn is not None:
        small = small.transpose(turn)
        if turn in (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90):
            width, height = height, width
    return Made(kind=kind, width=width, height=height, thumbnails=tuple(_cascade(small)))


def _cascade(image: Image.Image) -> Iterator[Thumbnail]:
    for size, longest in SIZES.items():
        image.thumbnail((longest, longest), Resampling.LANCZOS)
        # A new one: profiles, comments and whatever else came with the old one stay behind.
        clean = Image.new(image.mode, image.size)
        clean.paste(image)
        content = BytesIO()
        clean.save(content, "WEBP", quality=_QUALITY)
        yield Thumbnail(size=size, width=clean.width, height=clean.height, content=content.getvalue())


def _reduced(image: Image.Image, longest: int) -> Image.Image:
    """In a mode that can be resized, and with twice the pixels that are needed at most; a few rows at a time, as each conversion is a copy."""
    factor = max(max(image.size) // (2 * longest), 1)
    rows = _ROWS_AT_A_TIME * factor
    parts: list[Image.Image] = []
    for top in range(0, image.height, rows):
        part = _resizable(image.crop((0, top, image.width, min(top + rows, image.height))))
        parts.append(part.reduce((min(factor, part.width), min(factor, part.height))))
    reduced = Image.new(parts[0].mode, (parts[0].width, sum(part.height for part in parts)))
    at = 0
    for part in parts:
        reduced.paste(part, (0, at))
        at += part.height
    return reduced


def _resizable(part: Image.Image) -> Image.Image:
    has_alpha = part.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in part.info
    if part.mode.startswith(("I", "F")):
        # 16 bits a pixel and more: Pillow's own conversion cuts off what is above 255.
        return part.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if part.mode == "CMYK":
        return part
    if has_alpha:
        return part.convert("RGBA")
    return part if part.mode == "L" else part.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """As RGB or RGBA, and in the colours that are meant."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha else image
    if profile:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(colours, ImageCms.ImageCmsProfile(BytesIO(profile)), srgb, outputMode="RGB")
            colours = converted if converted is not None else colours
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a profile for other colours, or none at all: the picture is worth more
    colours = colours.convert("RGB")
    if alpha:
        colours.putalpha(alpha)
    return colours


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError):
        return 1  # what cannot be read turns nothing
