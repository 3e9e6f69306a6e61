"""The one path by which networks are measured: after a round, at the end of a run, and when somebody asks."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Mapping

import numpy as np

from tfimp import catalogue
from tfimp._kinds import Record
from tfimp.catalogue import Measure
from tfimp.errors import ConfigError, TfimpError
from tfimp.measures.layer import Layer
from tfimp.measures.network import MeasuredNetwork
from tfimp.measures.numbers import Arrays, Found

AT_ONCE = 2


def measure(network: MeasuredNetwork, what: Iterable[Measure]) -> tuple[dict[str, Record], Arrays]:
    """Measure a trained network.

    Args:
        network: Its layers, and what they see.
        what: The measures.

    Returns:
        Numbers by layer, as in metrics.json, and arrays by ``LAYER/name``, as in probes.safetensors.

    Raises:
        ConfigError: a measure of somebody's own that fails, or returns something else than it declares.
    """
    import numba

    layers: dict[str, Record] = {name: {} for name in network.names}
    arrays: Arrays = {}
    measures = list(what)
    # Side by side, because what one measure does on one core leaves the others to the next.
    threads = numba.get_num_threads()
    with concurrent.futures.ThreadPoolExecutor(min(AT_ONCE, threads), "", numba.set_num_threads, (threads,)) as pool:
        tasks = []
        for one in measures:
            for name in [""] if one.of_network else network.names:
                tasks.append((one, name, pool.submit(_computed, one, network, name)))
        for one, name, task in tasks:
            numbers, found = task.result()
            for layer, values in (numbers if one.of_network else {name: numbers}).items():
                layers[layer] |= values
            arrays |= found if one.of_network else {f"{name}/{array}": value for array, value in found.items()}
    return layers, arrays


def _computed(one: Measure, network: MeasuredNetwork, name: str) -> Found:
    """What a measure finds, checked if it is not tfimp's own."""
    subject: Layer | MeasuredNetwork = network.layers[name] if name else network
    if isinstance(one.compute, str):
        found: Found = one.function(subject)
        return found
    try:
        numbers, arrays = one.function(subject)
    except TfimpError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise ConfigError(f"measure {one.name!r} fails: {type(error).__name__}: {message}") from error
    return _own(one, numbers), _declared(one, network, name, arrays)


def _own(one: Measure, numbers: object) -> Record:
    """A user's numbers under the measure's name, as Python numbers."""
    if not isinstance(numbers, dict):
        raise ConfigError(
            f"measure {one.name!r} must return (numbers, arrays), two dicts; received {type(numbers).__name__}"
        )
    if one.of_network:
        return {layer: {one.name: _plain(one, values)} for layer, values in numbers.items()}
    return {one.name: _plain(one, numbers)} if numbers else {}


def _plain(one: Measure, value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(one, item) for name, item in value.items()}
    if isinstance(value, (bool, np.bool_, str)) or not np.isscalar(value) or not np.isreal(value):
        raise ConfigError(f"measure {one.name!r}: a number must be a real one, received {value!r}")
    return value.item() if isinstance(value, np.generic) else value


def _declared(one: Measure, network: MeasuredNetwork, name: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """A user's arrays, of the names and shapes that the measure declares."""
    checked: Arrays = {}
    for key, value in dict(arrays).items():
        layer, array = key.split("/", 1) if one.of_network and "/" in key else (name, key)
        shape, declared = np.shape(value), one.shape_of(array)
        if declared is None or layer not in network.names:
            accepted = ", ".join(one.arrays) or "none"
            raise ConfigError(
                f"measure {one.name!r} returns an array {key!r} that it does not declare; declared: {accepted}"
            )
        mask = network.mask(layer)
        known = {"fan_in": mask.shape[0], "units": mask.shape[1], "survivors": int(mask.sum())}
        if not catalogue.fits(shape, declared, **known):
            raise ConfigError(f"measure {one.name!r}: {key!r} has shape {shape}, declared is {declared}")
        found = np.asarray(value)
        if found.dtype.kind not in "biuf":
            raise ConfigError(f"measure {one.name!r}: {key!r} must hold numbers, received {found.dtype}")
        checked[key] = found.astype(np.float32) if found.dtype == np.float64 else found
    return checked
