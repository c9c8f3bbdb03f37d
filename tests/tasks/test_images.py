"""Images that people upload: every common kind is drawn as it looks, everything else is refused in words."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pituning.errors import BadInput
from pituning.tasks.images import BytesImage, open_image


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_cut_off(suffix):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(ramp).save(stream, suffix)
    drawn = np.asarray(BytesImage(stream.getvalue()).render(64))[..., 0]
    np.testing.assert_allclose(drawn, ramp / 257, atol=1.5)


def test_thirty_two_bits_are_refused():
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(stream, "tiff")
    with pytest.raises(BadInput, match="32 bits per channel"):
        open_image(stream.getvalue())


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpeg"), ("P", "gif"), ("LA", "png"), ("1", "png"), ("LAB", "tiff")]
)
def test_every_mode_is_drawn_in_colour(mode, suffix):
    stream = io.BytesIO()
    Image.new(mode, (7, 5)).save(stream, suffix)
    assert BytesImage(stream.getvalue()).render(16).mode == "RGB"


def test_a_damaged_image_is_drawn_or_refused_without_a_word_on_stderr(capfd, recwarn):
    sound = io.BytesIO()
    Image.radial_gradient("L").resize((9, 9)).convert("RGB").save(sound, "tiff")
    luck = random.Random(0)
    for _ in range(400):
        data = bytearray(sound.getvalue())
        for _ in range(luck.randint(1, 4)):
            data[luck.randrange(len(data))] = luck.randrange(256)
        with contextlib.suppress(BadInput):
            BytesImage(bytes(data)).render(8)
    assert capfd.readouterr().err == ""
    assert not [warning.message for warning in recwarn]


def test_what_a_camera_wrote_may_be_damaged():
    image = Image.new("RGB", (8, 8), "red")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    data = stream.getvalue()
    noise = b"eXIf" + b"\xfd1\xab\xb6\x92\x96 no TIFF"
    chunk = struct.pack(">I", len(noise) - 4) + noise + struct.pack(">I", zlib.crc32(noise))
    odd = data[:33] + chunk + data[33:]
    np.testing.assert_array_equal(np.asarray(BytesImage(odd).render(8)), np.asarray(image))
