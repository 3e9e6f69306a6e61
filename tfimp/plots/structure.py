"""What masks are made of beyond the first layer's pairs: field sizes, deeper layers, overlap between rounds."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator

from tfimp.formulas.fields import Fields, centres_by_chance, coverage, receptive_fields
from tfimp.formulas.nulls import Null, median_of_random_places
from tfimp.formulas.overlap import mask_overlap as measured_overlap
from tfimp.plots import read, style
from tfimp.plots.curves import band
from tfimp.plots.mosaic import mosaic, weight_pictures
from tfimp.store import Round, Run

Shape = tuple[int, int, int]
SIDE = 6  # units along a side of a grid


def deeper_fields(run: Run) -> Figure:
    """The last round's deeper units in input space: products of masks (paths) and of masked kernels."""
    title = "Deeper layers in input space"
    first, layers = read.image_layer(run), read.layers(run)
    if first is None or layers.index(first) != 0 or len(layers) < 2:
        return style.missing_figure(title, "This run has no pruned layer above the one that sees the image.")
    stored, shape = run.rounds[-1], read.image_shape(run)
    deeper = layers[1:4]
    note = (
        f"Round {stored.index}; each {'tile' if shape[0] > 1 else 'row'} is one unit, those with most paths first. "
        "Paths: number of ways through surviving weights from an input to the unit (bright: most in that unit). "
        "Weights: product of the masked kernels, as if units were linear, over its largest magnitude; the middle of "
        "the scale is zero."
    )
    figure = style.new_figure(title, style.PAGE, 0.9 + 3.0 * len(deeper), note)
    grid = figure.subplots(len(deeper), 2, squeeze=False)
    paths, product = read.mask(stored, first).astype(float), read.masked_kernel(stored, first)
    for row, layer in zip(grid, deeper, strict=True):
        mask, kernel = read.mask(stored, layer), read.masked_kernel(stored, layer)
        row[0].set_title(f"{layer}: paths")
        row[1].set_title(f"{layer}: product of masked kernels")
        fits = paths.shape[1] == len(mask) == product.shape[1] == len(kernel)
        paths = paths @ mask if fits else np.zeros((0, 0))
        product = product @ kernel if fits else np.zeros((0, 0))
        units = np.argsort(-paths.sum(axis=0), kind="stable")[: SIDE * SIDE] if paths.size else np.zeros(0, int)
        if not paths.size or not paths.any():
            for axes in row:
                style.missing(axes, "No path from the image to this layer survives.")
            continue
        _tiles(row[0], _path_pictures(paths[:, units], shape), shape)
        _tiles(row[1], weight_pictures(product[:, units], shape), shape)
    return figure


def _path_pictures(paths: np.ndarray, shape: Shape) -> np.ndarray:
    """Number of paths from each position, channels together, as colours: uint8 (units, height, width, 3)."""
    import matplotlib

    counts = np.moveaxis(paths.reshape(*shape, -1).sum(axis=2), -1, 0)
    most = counts.max(axis=(1, 2), keepdims=True)
    shares = np.divide(counts, most, out=np.zeros_like(counts), where=most > 0)
    return np.round(255 * matplotlib.colormaps[style.SEQUENTIAL](shares)[..., :3]).astype(np.uint8)


def _tiles(axes: Axes, pictures: np.ndarray, shape: Shape) -> None:
    if shape[0] == 1:
        axes.imshow(pictures[:, 0], aspect="auto")
        axes.set_xlabel("input position")
        axes.set_ylabel("unit")
        axes.grid(False)
        return
    axes.imshow(mosaic(pictures, min(SIDE, int(np.ceil(np.sqrt(len(pictures)))))))
    style.bare(axes)
    for spine in axes.spines.values():
        spine.set_visible(False)


def field_size(run: Run) -> Figure:
    """How large first-layer fields are against density, and where their centres lie in the last round."""
    title = "Size and place of the receptive fields"
    layer = read.image_layer(run)
    if layer is None:
        return style.missing_figure(title, "No pruned layer sees the image: there are no receptive fields.")
    shape, densities = read.image_shape(run), read.densities(run)
    fields = [_receptive_fields(stored, layer, shape) for stored in run.rounds]
    note = (
        "Size: root mean square distance from the field's centre, each input weighted by its squared weight; line and "
        "band: median and quartiles over units. If each unit's weights lay at random inputs: grey, the median unit, "
        "two standard deviations either way (z: how many lie between it and the line in the last round); dashed, "
        "where 95% of the centres would lie, by the median unit."
    ) + _covered(fields[-1], shape)
    figure = style.new_figure(title, style.PAGE, 3.0, note)
    left, right = figure.subplots(1, 2)
    spread = np.stack([read.quartiles_of(found.size) for found in fields], axis=1)
    if not np.isfinite(spread).any():
        style.missing(left, "No unit has a surviving weight.")
    else:
        nulls = [_null_of_the_size(stored, layer, shape) for stored in run.rounds]
        mean, sd = np.array([null.mean for null in nulls]), np.array([null.sd for null in nulls])
        style.chance_band(left, densities, mean, sd)
        band(left, densities, spread, 0, layer)
        style.say_z(left, np.array([null.z(middle) for null, middle in zip(nulls, spread[1], strict=True)]), at=0.12)
        style.density_axis(left, densities)
        left.set_ylabel("size (pixels)" if shape[0] > 1 else "size (inputs)")
        left.set_ylim(bottom=0)
        left.set_title("size against density")
    _centres(right, fields[-1], shape, run.rounds[-1])
    centres = centres_by_chance(read.masked_kernel(run.rounds[-1], layer), shape)
    if right.axison and np.isfinite(centres).any():
        _centres_by_chance(right, np.nanmedian(centres, axis=0), shape)
    return figure


def _null_of_the_size(stored: Round, layer: str, shape: Shape) -> Null:
    """The median unit's size with each unit's weights at random inputs."""
    kernel = read.masked_kernel(stored, layer)
    live: np.ndarray = np.any(kernel != 0, axis=0)
    return median_of_random_places(kernel, lambda drawn: receptive_fields(drawn, shape).size, live, draws=4)


def _centres_by_chance(axes: Axes, sd: np.ndarray, shape: Shape) -> None:
    """Where 95% of the centres would lie if they were Gaussian around the middle of the image."""
    row, column = ((side - 1) / 2 for side in shape[:2])
    if shape[0] == 1:
        for end in (-1.96, 1.96):
            axes.axvline(column + end * sd[1], **style.DASHED)
    else:
        radius = (-2 * np.log(0.05)) ** 0.5
        axes.add_patch(Ellipse((column, row), 2 * radius * sd[1], 2 * radius * sd[0], fill=False, **style.DASHED))


def _covered(fields: Fields, shape: Shape) -> str:
    """How much of the image lies next to some centre, in a sentence; nothing for a signal."""
    if shape[0] == 1 or not np.isfinite(fields.size).any():
        return ""
    found = coverage(fields.centre, shape, radius=1.0)
    return (
        f" In the last round {100 * found.share:.0f}% of the pixels lie within one pixel of a centre; as many centres "
        f"anywhere would cover {100 * found.expected:.0f}%."
    )


def _receptive_fields(stored: Round, layer: str, shape: Shape) -> Fields:
    kernel = read.masked_kernel(stored, layer)
    return receptive_fields(kernel if kernel.size else np.zeros((int(np.prod(shape)), 0)), shape)


def _centres(axes: Axes, fields: Fields, shape: Shape, stored: Round) -> None:
    centres, sizes = fields.centre, fields.size
    axes.set_title(f"centres, {style.round_title(stored.index)}")
    if not np.isfinite(sizes).any():
        style.missing(axes, "No unit has a surviving weight.")
        return
    if shape[0] == 1:
        edges = np.linspace(-0.5, shape[1] - 0.5, 21).tolist()
        axes.hist(centres[np.isfinite(sizes), 1], edges, color=style.COLOURS[5], edgecolor="white", linewidth=0.3)
        axes.set_xlabel("centre (input position)")
        axes.set_ylabel("units")
        return
    dots = axes.scatter(centres[:, 1], centres[:, 0], c=sizes, s=9, cmap=style.SEQUENTIAL, linewidths=0)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xlabel("column (pixels)")
    axes.set_ylabel("row (pixels)")
    bar = axes.figure.colorbar(dots, ax=axes, shrink=0.8, aspect=20, pad=0.02)
    bar.set_label("size (pixels)")
    bar.outline.set_visible(False)


def mask_overlap(run: Run) -> Figure:
    """How much of one round's mask is in another's, every pair of rounds."""
    title = "Overlap of masks between rounds"
    layers = read.layers(run)
    if len(run.rounds) < 2:
        return style.missing_figure(title, "This run has a single round: there is no other mask to compare with.")
    rounds = [stored for stored in run.rounds if stored.names(read.MASKS)]
    note = (
        "Below the diagonal: weights in both masks over weights in either (Jaccard index); above it, that of random "
        "masks of as many weights. z: distance of the number shared from chance, in standard deviations, the smallest "
        "of all pairs. Iterative pruning nests its masks, whatever it removes: there the index is the ratio of two "
        "densities, and z says only that. Where masks are drawn anew it is a finding."
    )
    width = style.PAGE if len(layers) > 1 else style.PAGE / 2
    figure = style.new_figure(title, width, 3.3 if len(layers) < 3 else 2.8, note)
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, layer in zip(panels, layers, strict=True):
        index, least = _jaccard([read.mask(stored, layer) for stored in rounds])
        axes.set_title(layer + (f", z ≥ {least:.1f}" if np.isfinite(least) else ""))
        axes.imshow(index, cmap=style.COUNTS, vmin=0, vmax=1)
        axes.grid(False)
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    panels[0].set_ylabel("round")
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), style.COUNTS), ax=list(panels), shrink=0.8, aspect=22, pad=0.02
    )
    bar.set_label("Jaccard index")
    bar.outline.set_visible(False)
    return figure


def _jaccard(masks: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """(rounds, rounds): measured up to the diagonal, by chance above it, NaN where both are empty; least z."""
    index, least = np.empty((len(masks), len(masks))), np.inf
    for first, second in itertools.combinations_with_replacement(range(len(masks)), 2):
        found = measured_overlap(masks[first], masks[second])
        index[second, first] = found.jaccard
        if first != second:
            index[first, second] = found.jaccard_by_chance
            least = min(least, found.z) if np.isfinite(found.z) else least
    return index, least
