"""What is made of a file, and what is refused. No network."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms

from app.workload.images.errors import Refused
from app.workload.images.opening import MOST_FRAMES
from app.workload.images.thumbnails import Made, make_thumbnails
from tests.integration.images.pictures import BLUE, RED, gif_of, picture, png_that_announces, webp_that_announces


def made_of(content: bytes) -> tuple[Made, dict[str, Image.Image]]:
    made = make_thumbnails(BytesIO(content))
    return made, {each.size: Image.open(BytesIO(each.content)) for each in made.thumbnails}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_each_kind_gets_a_thumbnail_of_each_size(kind: str) -> None:
    made, small = made_of(picture(kind, (3000, 1500)))

    assert (made.kind, made.width, made.height) == (kind, 3000, 1500)
    assert {size: image.size for size, image in small.items()} == {"small": (160, 80), "medium": (480, 240), "large": (1280, 640)}
    assert {image.format for image in small.values()} == {"WEBP"}
    red, _, blue = small["small"].convert("RGB").getpixel((80, 40))  # type: ignore[misc]
    assert red > 150 > blue


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (100, 50)])
def test_nothing_is_made_larger_than_it_is(size: tuple[int, int]) -> None:
    _, small = made_of(picture("PNG", size))

    for image in small.values():
        assert image.width <= size[0]
        assert image.height <= size[1]


@pytest.mark.parametrize(
    ("mode", "kind", "colour"),
    [
        ("L", "JPEG", 200),
        ("CMYK", "JPEG", (0, 255, 255, 0)),
        ("1", "PNG", 1),
        ("P", "PNG", 5),
        ("P", "GIF", 5),
        ("LA", "PNG", (200, 10)),
        ("RGBA", "PNG", (200, 30, 30, 10)),
        ("RGBA", "WEBP", (200, 30, 30, 10)),
        ("I;16", "PNG", 40_000),
    ],
)
@pytest.mark.parametrize("size", [(20, 10), (6000, 1200)])
def test_each_mode_of_pixels_comes_out_in_plain_colours(mode: str, kind: str, colour: Any, size: tuple[int, int]) -> None:
    _, small = made_of(picture(kind, size, mode, colour))

    assert small["large"].size == ((1280, 256) if size[0] > 1280 else size)
    if mode in ("LA", "RGBA"):
        assert small["small"].mode == "RGBA"
        assert small["small"].getpixel((5, 5))[3] < 30  # type: ignore[index]
    else:
        assert small["small"].mode == "RGB"
    if mode == "I;16":
        assert abs(small["small"].getpixel((5, 5))[0] - 40_000 // 256) < 8  # type: ignore[index]


def test_a_colour_of_the_palette_that_is_transparent_stays_so() -> None:
    buffer = BytesIO()
    Image.new("RGBA", (200, 100), (200, 30, 30, 0)).quantize(4).save(buffer, "PNG")
    _, small = made_of(buffer.getvalue())

    assert Image.open(buffer).mode == "P"
    assert small["small"].mode == "RGBA"
    assert small["small"].getpixel((50, 30))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright_and_nothing_but_pixels_is_left(orientation: int) -> None:
    upright = Image.new("RGB", (600, 300), BLUE)
    upright.paste(RED, (0, 0, 300, 150))  # the upper left is red
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    turned = upright if stored is None else upright.transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a secret place"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = BytesIO()
    turned.save(
        buffer, "JPEG", exif=exif, icc_profile=profile, comment=b"a secret comment", xmp=b"<x:xmpmeta>secret</x:xmpmeta>", quality=95
    )

    made, small = made_of(buffer.getvalue())

    assert (made.width, made.height) == (600, 300)
    image = small["medium"]
    assert image.size == (480, 240)
    at = {
        name: image.getpixel(place) for name, place in {"upper left": (40, 30), "lower right": (440, 200), "upper right": (440, 30)}.items()
    }
    assert at["upper left"][0] > at["upper left"][2]  # type: ignore[index]
    assert at["lower right"][0] < at["lower right"][2]  # type: ignore[index]
    assert at["upper right"][0] < at["upper right"][2]  # type: ignore[index]
    for each in made.thumbnails:
        assert b"secret" not in each.content
        assert not {b"EXIF", b"XMP ", b"ICCP"} & {each.content[index : index + 4] for index in range(len(each.content))}


@pytest.mark.parametrize("profile", [b"", b"no profile", b"\0" * 1000])
def test_a_profile_that_is_none_costs_no_picture(profile: bytes) -> None:
    assert made_of(picture("PNG", icc_profile=profile))[0].width == 640


def truncated(kind: str, size: tuple[int, int] = (800, 600)) -> bytes:
    noise = BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(noise, kind)
    return noise.getvalue()[: len(noise.getvalue()) // 2]


BAD = {
    "a text that is called .png": (b"Dear Sir or Madam\n", "not-an-image"),
    "nothing": (b"", "not-an-image"),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not-an-image"),
    "a TIFF": (picture("TIFF"), "not-an-image"),
    "a PDF": (b"%PDF-1.7\n", "not-an-image"),
    "a PNG of 50,000 by 50,000": (png_that_announces(50_000, 50_000), "too-many-pixels"),
    "a PNG of 2^31 by 2^31": (png_that_announces(2**31 - 1, 2**31 - 1), "too-many-pixels"),
    "a PNG of 10,000 by 10,000": (png_that_announces(10_000, 10_000), "too-many-pixels"),
    "a PNG with a side of 40,000": (png_that_announces(40_000, 1), "too-many-pixels"),
    "a PNG of 0 by 0": (png_that_announces(0, 0), ""),
    "a WebP of 16,384 by 16,384": (webp_that_announces(16_384, 16_384), "too-many-pixels"),
    "a WebP with nothing in it": (webp_that_announces(10, 10), ""),
    "a GIF of 5,000 frames": (gif_of(5000), "too-many-frames"),
    "a GIF whose frame is larger than its screen": (gif_of(1, frame_size=(60_000, 60_000)), "too-many-pixels"),
    "a truncated JPEG": (truncated("JPEG"), "damaged"),
    "a truncated PNG": (truncated("PNG"), "damaged"),
    "a truncated WebP": (truncated("WEBP"), "damaged"),
    "a JPEG that only begins": (b"\xff\xd8\xff\xe0", "not-an-image"),
    "a PNG that only begins": (b"\x89PNG\r\n\x1a\n", ""),
    "a GIF that only begins": (b"GIF89a", "damaged"),
    "a WebP that only begins": (b"RIFF\0\0\0\0WEBPVP8 ", "damaged"),
}


@pytest.mark.parametrize(("content", "code"), BAD.values(), ids=BAD)
def test_what_is_no_image_or_costs_too_much_is_refused_with_a_reason(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        make_thumbnails(BytesIO(content))

    assert refused.value.code == code or not code
    assert str(refused.value)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (50, 50), colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "WEBP", "PNG"):
        buffer = BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        _, small = made_of(buffer.getvalue())
        red, _, blue = small["small"].convert("RGB").getpixel((25, 25))  # type: ignore[misc]
        assert red > blue, kind
    assert made_of(gif_of(MOST_FRAMES, (1, 1)))[0].kind == "GIF"
