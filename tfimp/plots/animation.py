"""The receptive fields round after round, as a GIF, and as an MP4 where ffmpeg is installed."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfimp.errors import ConfigError, nearest
from tfimp.plots import read
from tfimp.plots.mosaic import mask_pictures, mosaic, most_local, weight_pictures
from tfimp.store import Run
from tfimp.store.derived import deriving
from tfimp.store.files import make_folder, write_whole

FORMATS = ("gif", "mp4")
SIDE = 8  # units along a side of each grid
PANEL = 420  # pixels that a grid is enlarged to, at least
MARGIN, LINE = 16, 22  # pixels
MILLISECONDS = 600  # per round
HOLD = 3  # times as long for the last one


def animate(run: Run, formats: Iterable[str] = ("gif",), out: str | Path | None = None) -> list[Path]:
    """Draw the first layer's masks and masked weights in every round, the same units throughout.

    Args:
        run: A stored run.
        formats: gif, or mp4, which needs the program ffmpeg.
        out: A folder; ``figures`` inside the run by default.

    Returns:
        The files; none where no pruned layer sees the image.

    Raises:
        ConfigError: an unknown format, or mp4 without ffmpeg.
    """
    kinds = list(dict.fromkeys(formats))
    for kind in kinds:
        if kind not in FORMATS:
            raise ConfigError(f"unknown format {kind!r}{nearest(kind, FORMATS)}; accepted: {', '.join(FORMATS)}")
    if "mp4" in kinds and not has_ffmpeg():
        raise ConfigError("the format mp4 needs the program ffmpeg, which is not installed; accepted without it: gif")
    pictures = frames(run)
    if not pictures:
        return []
    root, parts = (run.path, ["figures"]) if out is None else (Path(out), [])
    make_folder(root)
    files = [root.joinpath(*parts, f"receptive-fields.{kind}") for kind in kinds]
    with deriving(run.path, files):
        for file in files:
            content = (_gif if file.suffix == ".gif" else _mp4)(pictures)
            write_whole(root, *parts, file.name, content=content)
    return files


def has_ffmpeg() -> bool:
    """Whether MP4 files can be written here."""
    return shutil.which("ffmpeg") is not None


def frames(run: Run) -> list[np.ndarray]:
    """A picture per round, uint8 (height, width, 3), all of one size with even sides; empty without a first layer."""
    layer = read.image_layer(run)
    if layer is None:
        return []
    shape = read.image_shape(run)
    units = most_local(read.mask(run.rounds[-1], layer), shape, SIDE * SIDE, read.periodic(run))
    drawn = []
    for stored in run.rounds:
        mask, kernel = read.mask(stored, layer)[:, units], read.masked_kernel(stored, layer)
        kernel = kernel[:, units] if kernel.size else np.zeros(mask.shape)
        panels = [_panel(mask_pictures(mask, shape)), _panel(weight_pictures(kernel, shape, mask))]
        words = f"round {stored.index}   density {read.number(stored, 'density'):.3g}"
        accuracy = read.number(stored, "test_accuracy")
        words += f"   test accuracy {100 * accuracy:.1f}%" if math.isfinite(accuracy) else ""
        drawn.append(_frame(panels, words))
    return drawn


def _panel(pictures: np.ndarray) -> np.ndarray:
    """A grid of units, enlarged by whole factors."""
    flat = pictures.shape[1] == 1
    grid = pictures[:, 0] if flat else mosaic(pictures, min(SIDE, math.ceil(math.sqrt(len(pictures)))))
    rows, columns = (max(1, math.ceil(PANEL / length)) for length in grid.shape[:2])
    if not flat:
        rows = columns = max(1, math.ceil(PANEL / max(grid.shape[:2])))
    return grid.repeat(rows, axis=0).repeat(columns, axis=1)


def _frame(panels: Sequence[np.ndarray], words: str) -> np.ndarray:
    height = panels[0].shape[0] + 2 * MARGIN + 2 * LINE
    width = max(sum(panel.shape[1] for panel in panels) + 3 * MARGIN, 480)
    canvas = Image.new("RGB", (width + width % 2, height + height % 2), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN // 2), words, font=_font(16), fill="black")
    left = MARGIN
    for panel, name in zip(panels, ("masks", "masked weights"), strict=True):
        draw.text((left, MARGIN // 2 + LINE), name, font=_font(13), fill="#5b6168")
        canvas.paste(Image.fromarray(panel), (left, MARGIN + 2 * LINE))
        left += panel.shape[1] + MARGIN
    return np.asarray(canvas)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of the figures, which comes with matplotlib."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _gif(pictures: Sequence[np.ndarray]) -> bytes:
    images = [Image.fromarray(picture).quantize(colors=256) for picture in pictures]
    durations = [MILLISECONDS] * (len(images) - 1) + [HOLD * MILLISECONDS]
    buffer = io.BytesIO()
    images[0].save(buffer, "gif", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()


def _mp4(pictures: Sequence[np.ndarray]) -> bytes:
    height, width, _ = pictures[0].shape
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pixel_format", "rgb24"]
    command += ["-video_size", f"{width}x{height}", "-framerate", f"{1000 / MILLISECONDS:g}", "-i", "-"]
    command += ["-vf", "fps=10", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    content = b"".join(picture.tobytes() for picture in (*pictures, *[pictures[-1]] * (HOLD - 1)))
    with tempfile.TemporaryDirectory() as folder:  # ffmpeg goes back and forth in what it writes
        file = Path(folder, "animation.mp4")
        done = subprocess.run([*command, str(file)], input=content, capture_output=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip()[:200]
            raise ConfigError(f"ffmpeg could not make an animation: {reason}")
        return file.read_bytes()
