"""What the fields are like: one pattern at several places, Gabor functions, locality by number of connections."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tfimp.formulas.fits import field_maps, fit_gabor, fit_gaussian
from tfimp.formulas.profiles import displacements_by_band
from tfimp.formulas.translation import translation as measured_translation
from tfimp.plots import read, style
from tfimp.plots.mosaic import most_connected
from tfimp.plots.pairs import kinds_of, profiles_figure
from tfimp.store import Round, Run

FITTED = 8  # units; a fit takes a quarter of a second
LEAST_POINTS = 10  # places of a field that a fit goes through
PAIRS, SHUFFLES = 120, 6


def translation(run: Run) -> Figure:
    """Whether units share a pattern at different places: masks and masked weights, against shuffled ones."""
    title = "One pattern at several places"
    layer, shape = read.image_layer(run), read.image_shape(run)
    if layer is None:
        return style.missing_figure(title, "No pruned layer sees the image.")
    rounds = read.chosen(run, 6)
    note = (
        f"Best match of pairs of units over all shifts (normalised cross-correlation, mean of up to {PAIRS} pairs); "
        "shuffled: the inputs of every unit permuted, grey: two standard deviations either way. Units above it share "
        "patterns. z: distance from the shuffled ones in the last of these rounds, in standard deviations."
    )
    figure = style.new_figure(title, style.PAGE, 2.8, note)
    densities = np.array([read.number(stored, "density") for stored in rounds])
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, pick in zip(panels, ("masks", "masked weights"), (read.mask, read.masked_kernel), strict=True):
        axes.set_title(name)
        matches, shuffled, sd, zs = np.array([_best_match(pick(stored, layer), shape) for stored in rounds]).T
        if not np.isfinite(matches).any():
            style.missing(axes, "Fewer than two units have surviving inputs.")
            continue
        label = "units" + (f", z = {zs[-1]:.1f}" if np.isfinite(zs[-1]) else "")
        style.chance_band(axes, densities, shuffled, sd)
        axes.plot(densities, matches, marker=style.MARKERS[0], color=style.COLOURS[0], label=label)
        axes.plot(densities, shuffled, "--", marker=style.MARKERS[1], color=style.COLOURS[1], label="shuffled")
        style.density_axis(axes, densities)
        axes.set_ylim(0, 1.04)
        axes.legend()
    panels[0].set_ylabel("best match")
    return figure


def _best_match(columns: np.ndarray, shape: tuple[int, int, int]) -> tuple[float, ...]:
    """Mean best match of pairs of units; mean and deviation of it for shuffled units, z; NaN without pairs."""
    if not columns.size:
        return (float("nan"),) * 4
    found = measured_translation(columns, shape, pairs=PAIRS, shuffles=SHUFFLES)
    return found.mean, found.mean_shuffled, found.std_shuffled, found.z


def field_fits(run: Run) -> Figure:
    """The most connected units' fields beside the Gabor functions that fit them best."""
    title = "Fields and the Gabor functions that fit them best"
    layer, shape = read.image_layer(run), read.image_shape(run)
    if layer is None or min(shape[:2]) < 3:
        return style.missing_figure(title, "Gabor functions are fitted to images of at least 3 x 3 pixels only.")
    stored, units = _round_to_fit(run, layer, shape)
    if stored is None:
        return style.missing_figure(title, f"No unit has weights at {LEAST_POINTS} places or more: too few for a fit.")
    kernel = read.masked_kernel(stored, layer)
    note = (
        f"The {len(units)} most connected units of {layer} in round {stored.index}, the last one in which so many have "
        f"weights at {LEAST_POINTS} places or more; colour channels are weighed as the "
        "field itself weighs them. Red: positive; blue: negative; each tile over its largest magnitude. R²: share of "
        "the field's variance that the function explains; in brackets that of the best Gaussian, which has no wave."
    )
    figure = style.new_figure(title, style.PAGE, 2.9, note)
    grid = figure.subplots(2, FITTED, squeeze=False)
    maps = field_maps(kernel[:, units], shape)
    for index in range(FITTED):
        for axes in grid[:, index]:
            style.bare(axes)
            axes.set_axis_on() if index < len(units) else axes.set_axis_off()
    for index, (unit, field) in enumerate(zip(units, maps, strict=True)):
        fit = fit_gabor(field)
        largest = float(np.abs(field).max())
        scale = {"cmap": style.DIVERGING, "vmin": -largest, "vmax": largest}
        grid[0, index].imshow(field, **scale)
        grid[0, index].set_title(f"unit {unit}", fontsize=7.5)
        grid[1, index].imshow(gabor(fit.parameters, shape), **scale)
        plain = fit_gaussian(field).goodness
        quality = f"{fit.goodness:.2f} ({plain:.2f})" if np.isfinite(fit.goodness) else "undefined"
        grid[1, index].set_xlabel(f"$R^2$ {quality}", fontsize=7)
    grid[0, 0].set_ylabel("field")
    grid[1, 0].set_ylabel("fit")
    return figure


def _round_to_fit(run: Run, layer: str, shape: tuple[int, int, int]) -> tuple[Round | None, list[int]]:
    """The sparsest round with enough units that have enough places to fit, and these units; None where there is none.

    A Gabor function has nine parameters: through as many points it always goes.
    """
    best: tuple[Round | None, list[int]] = (None, [])
    for stored in reversed(read.chosen(run) if read.are_chosen() else run.rounds):
        kernel = read.masked_kernel(stored, layer)
        if not kernel.size:
            continue
        places = (kernel.reshape(*shape, -1) != 0).any(axis=2).sum(axis=(0, 1))
        order = most_connected(read.mask(stored, layer), kernel.shape[1])
        units = [int(unit) for unit in order if places[unit] >= LEAST_POINTS][:FITTED]
        if len(units) > len(best[1]):
            best = stored, units
        if len(units) == FITTED:
            break
    return best


def gabor(parameters: dict[str, float], shape: tuple[int, int, int]) -> np.ndarray:
    """(height, width) values of a Gabor function with the parameters of ``formulas.fit_gabor``."""
    rows, columns = np.indices(shape[:2]).astype(float)
    down, right = rows - parameters["row"], columns - parameters["column"]
    cosine, sine = np.cos(parameters["angle"]), np.sin(parameters["angle"])
    along, across = right * cosine + down * sine, down * cosine - right * sine
    envelope = np.exp(
        -0.5 * ((along / parameters["sigma_along"]) ** 2 + (across / parameters["sigma_across"]) ** 2)
    )  # fmt: skip
    wave = np.cos(2 * np.pi * parameters["frequency"] * along + parameters["phase"])
    return parameters["amplitude"] * envelope * wave + parameters["offset"]


def pairs_by_connectivity(run: Run) -> Figure:
    """Pairs against distance in the last round, for units with few and with many connections."""
    title = "Pairs against distance, by number of connections"
    layer, shape, stored = read.image_layer(run), read.image_shape(run), run.rounds[-1]
    mask = read.mask(stored, layer) if layer else np.zeros((0, 0), bool)
    bands = [band for band in (displacements_by_band(mask, shape) if mask.any() else []) if band.most > 1]
    if not bands:
        return style.missing_figure(title, f"No unit of round {stored.index} has two surviving inputs.")
    note = (
        f"{layer}, round {stored.index}, its units in bands of equal number from few connections to many: pairs over "
        "those expected if connections fell anywhere with equal chance (dashed)."
    )
    spans = [f"{band.fewest}" if band.fewest == band.most else f"{band.fewest} to {band.most}" for band in bands]
    lines = {
        kind: [
            (span, getattr(band.displacements, kind), mask[:, band.units])
            for span, band in zip(spans, bands, strict=True)
        ]
        for kind in kinds_of(shape)
    }
    return profiles_figure(title, note, lines, shape, run.config.probe.radius[0], "connections")
