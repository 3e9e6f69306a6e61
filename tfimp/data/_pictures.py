"""Image files as arrays: 8 bits as they are, more bits without loss, upright, and nothing taken for what it is not."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfimp._files import open_regular
from tfimp.data._reading import in_one_line
from tfimp.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jfif", ".jpe", ".pbm")
OTHER_SUFFIXES = (
    ".heic", ".heif", ".avif", ".jp2", ".jpx", ".jxl", ".svg", ".eps", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".orf", ".raf", ".dcm", ".nii", ".exr", ".hdr", ".tga", ".ico", ".pdf", ".npy", ".mp4", ".avi", ".mov",
    ".czi", ".lif", ".nd2", ".svs", ".pcx", ".dds", ".mpo",
)  # fmt: skip
"""Pictures too, but not of a kind that is read."""
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Pillow goes by contents: a PostScript file named .png would be handed to Ghostscript."""
_MOST_PIXELS = 100_000_000
_FEW_PIXELS, _PIXELS_PER_BYTE = 4_000_000, 10_000
"""No format packs more: a small file that claims a large image is damaged, or meant to fill the memory."""
_DEEP = ("I", "F")
_MAY_BE_DEEP = (".png", ".tif", ".tiff", ".pgm", ".ppm")


@dataclasses.dataclass
class Encountered:
    """What was met while images were read, for one line about it."""

    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    coloured: bool = False

    def notes(self, side: int, colour: bool) -> list[str]:
        """Sentences about sizes, depth, transparency, pages and turned images."""
        found = []
        if side and set(self.sizes) - {(side, side)}:
            width, height = self.sizes.most_common(1)[0][0]
            more = f" and {len(self.sizes) - 1} other sizes" if len(self.sizes) > 1 else ""
            found.append(f"{width} x {height} pixels{more} scaled to {side} x {side} (their centre square)")
        counts = sorted(self.kinds.items())
        found += [f"{words} ({count} image{'s' * (count > 1)})" for words, count in counts]
        if colour and not self.coloured:
            found.append("all are grey: data.colour = false keeps one channel")
        return found


def brightest(files: Iterable[Path]) -> float:
    """The ``top`` of `pixels` that loses nothing of any of these images; only headers are read."""
    modes = {_mode(file) if file.suffix.lower() in _MAY_BE_DEEP else "" for file in files}
    deep = {mode[:1] for mode in modes if mode.startswith(_DEEP)}
    if not deep:
        return 255
    return 1 if deep == {"F"} and len(modes) == 1 else 65535


def _mode(file: Path) -> str:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_regular(file) as opened, Image.open(opened, formats=_FORMATS) as image:
                return str(image.mode)
    except Exception:
        return ""  # reading it will say what is wrong with it


def pixels(
    file: Path,
    colour: bool,
    top: float = 255,
    seen: Encountered | None = None,
    content: io.BytesIO | None = None,
    row: int = 0,
) -> np.ndarray:
    """(height, width, channels) of an image file, turned as its EXIF tag says.

    Args:
        file: an image.
        colour: three channels, else one.
        top: which number is the brightest: 255 for uint8; 65535 for float32 that holds 16 bits as they are; 1 for
            real-valued images and their own numbers.
        seen: takes note of what was met.
        content: the image itself, where ``file`` holds many and this is its ``row``.

    Raises:
        DataError: the file is no image, is damaged or too large, or holds values without a known range.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    seen = seen or Encountered()
    what = repr(str(file)) if content is None else f"in row {row} of {str(file)!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; large images are refused below
            source = contextlib.nullcontext(content) if content else open_regular(file)
            with source as readable, Image.open(readable, formats=_FORMATS) as opened:
                image: Image.Image = opened
                width, height = image.size
                size = file.stat().st_size if content is None else len(content.getbuffer())
                if width * height > min(_MOST_PIXELS, max(_FEW_PIXELS, _PIXELS_PER_BYTE * size)):
                    raise DataError(
                        f"the image {what} has {width} x {height} pixels in {size} bytes, at most {_MOST_PIXELS} are "
                        f"accepted, and {_PIXELS_PER_BYTE} per byte"
                    )
                if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                    seen.kinds["of several pages or frames the first is taken"] += 1
                if image.getexif().get(0x0112, 1) != 1:
                    seen.kinds["turned upright as their EXIF tag says"] += 1
                    image = ImageOps.exif_transpose(image)
                if not image.mode.startswith(_DEEP) and any(";16" in str(tile) for tile in getattr(image, "tile", ())):
                    seen.kinds["of 16 bits per colour the upper 8 are taken"] += 1
                seen.sizes[image.size] += 1
                found, own = _values(what, image, colour, seen)
    except DataError:
        raise
    except UnidentifiedImageError:
        empty = content is None and not file.stat().st_size
        reason = (
            "it is empty" if empty else f"it is none of {', '.join(_FORMATS)}, or of a kind of these that is not read"
        )
        raise DataError(f"cannot read the image {what}: {reason}") from None
    except Exception as error:
        # A damaged image fails in as many ways as there are formats.
        raise DataError(f"cannot read the image {what}: {in_one_line(error)}") from None
    if own == 1:
        seen.kinds["real numbers taken as they are" if top == 1 else "real numbers in 0 to 1"] += 1
    if top != own:
        if own == 1 and (found.min() < 0 or found.max() > 1):
            raise DataError(f"the image {what} holds {found.min():.4g} to {found.max():.4g}, accepted are 0 to 1")
        found = found.astype(np.float32) * np.float32(top / own)
        found = np.rint(found).astype(np.uint8) if top == 255 else found
    return found.reshape(*found.shape[:2], -1)


def _values(what: str, image: Any, colour: bool, seen: Encountered) -> tuple[np.ndarray, float]:
    """uint8 where the image has 8 bits, else float32; and which number is the brightest."""
    from PIL import Image

    mode = image.mode
    if mode.startswith(_DEEP):
        found = _deep(what, np.asarray(image), mode, seen)
        found = np.broadcast_to(found[..., None], (*found.shape, 3)) if colour else found
        return found, 1 if mode == "F" else 65535
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            seen.kinds["transparent parts laid on white"] += 1
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    seen.coloured = seen.coloured or (mode not in ("1", "L", "LA", "La") and _has_colour(image))
    return np.asarray(image.convert("RGB" if colour else "L")), 255


def _has_colour(image: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    return bool((red != green).any() or (green != blue).any())


def _deep(what: str, found: np.ndarray, mode: str, seen: Encountered) -> np.ndarray:
    """16-bit grey and real numbers as float32."""
    if mode == "F":
        if not np.isfinite(found).all():
            raise DataError(f"the image {what} holds numbers that are not finite")
        if np.abs(found).max(initial=0) > 1e6:
            raise DataError(f"the image {what} holds {np.abs(found).max():.3g}, accepted are numbers up to 1e6")
        return found.astype(np.float32)
    if int(found.min(initial=0)) < 0 or int(found.max(initial=0)) > 65535:
        raise DataError(
            f"the image {what} holds whole numbers from {found.min()} to {found.max()}, accepted are 0 to 65535"
        )
    seen.kinds["16 bits divided by 65535"] += 1
    return found.astype(np.float32)
