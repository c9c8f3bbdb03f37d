"""Images of tasks that people bring: checked once, drawn at any size. Torch-free."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from pituning.errors import ArtefactError, BadInput

MAX_IMAGE_BYTES = 16 * 2**20
MAX_IMAGE_PIXELS = 40_000_000
IMAGE_FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
"""The formats that are read, and the suffix under which an image is kept."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error)
"""What Pillow raises on bytes that are not what they say."""

# What Pillow says of a damaged file would stand beside our own line.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def open_image(data: bytes) -> Image.Image:
    """Decodes an image completely.

    Raises:
        BadInput: what is wrong with it, as the end of a sentence about the image ("is not an image ...").
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise BadInput(f"has {len(data) / 2**20:.0f} MiB; make it smaller than {MAX_IMAGE_BYTES // 2**20} MiB")
    try:
        with warnings.catch_warnings():
            # Damage that Pillow reads over is no reason to refuse, and our own limit of pixels is below Pillow's.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=tuple(IMAGE_FORMATS))
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise BadInput(
                    f"has {image.width} x {image.height} pixels; "
                    f"make it smaller than {MAX_IMAGE_PIXELS // 1_000_000} million pixels"
                )
            if image.mode in ("I", "F"):
                raise BadInput("has 32 bits per channel, whose black and white nobody knows; save it with 8 or 16")
            image.load()
    except BadInput:
        raise
    except Image.DecompressionBombError as error:
        raise BadInput(
            f"has too many pixels; make it smaller than {MAX_IMAGE_PIXELS // 1_000_000} million pixels"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise BadInput(f"is not an image; give one of {', '.join(IMAGE_FORMATS)}") from error
    except _DAMAGE as error:
        raise BadInput("is a damaged or truncated image; save it again") from error
    return image


def image_suffix(data: bytes) -> str:
    """The suffix under which an image that `open_image` accepts is kept."""
    with Image.open(io.BytesIO(data), formats=tuple(IMAGE_FORMATS)) as opened:
        # Pillow calls a JPEG with more pictures in it, as telephones take, by another name: MPO.
        return IMAGE_FORMATS.get(opened.format or "", "jpg" if isinstance(opened, JpegImageFile) else "png")


def fit(image: Image.Image, size: int) -> Image.Image:
    """An RGB copy of ``size`` x ``size`` pixels, upright and on white where it is transparent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            upright = ImageOps.exif_transpose(image)
        except _DAMAGE:  # the picture is whole; only what a camera wrote about it is not
            upright = image
    if upright.mode.startswith("I;16"):  # Pillow would cut off at 255 instead of scaling
        upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return upright.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class BytesImage:
    """An encoded image in memory.

    Args:
        data: the bytes of an image file that `open_image` accepts.
    """

    data: bytes = field(repr=False)

    def render(self, size: int) -> Image.Image:
        return fit(open_image(self.data), size)


@dataclass(frozen=True)
class FileImage:
    """An image file of a saved task, read when it is drawn."""

    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ArtefactError(f"image {self.path} cannot be read ({error.strerror}); add the task again") from error

    def render(self, size: int) -> Image.Image:
        try:
            return fit(open_image(self.read()), size)
        except BadInput as error:
            raise ArtefactError(f"image {self.path} {error}; add the task again") from error
