"""What each form of a network costs on this machine: bytes, and the time of one sample and of 64."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from tfimp._kinds import Record
from tfimp.inference.forms import Form, Predict

BATCHES = (1, 64)
_SECONDS, _LEAST, _MOST = 0.1, 5, 200


def measure_forms(forms: Mapping[str, Form], images: np.ndarray) -> dict[str, Record]:
    """Size, speed and agreement of the forms of a network.

    Args:
        forms: By name, the dense one among them.
        images: Raw ones, (n, features); the more the better, up to 64.

    Returns:
        By form: ``bytes``; ``seconds_batch_1`` and ``seconds_batch_64``, medians of calls that take turns with those
        of the other forms; ``largest_difference``, of its logits from those of the dense form; ``bits``.
    """
    expected = forms["dense"].predict(images)
    found: dict[str, Record] = {
        name: {
            "bytes": form.bytes,
            "bits": form.bits,
            "largest_difference": float(np.max(np.abs(form.predict(images) - expected), initial=0.0)),
        }
        for name, form in forms.items()
    }
    for batch in BATCHES:
        some = np.resize(images, (batch, images.shape[1]))
        for name, seconds in medians({name: form.predict for name, form in forms.items()}, some).items():
            found[name][f"seconds_batch_{batch}"] = seconds
    return found


def medians(functions: Mapping[str, Predict], images: np.ndarray) -> dict[str, float]:
    """Median seconds of functions that take turns, so that what else the machine does hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function(images), function(images)  # the first calls compile
    began = time.perf_counter()
    while len(next(iter(seconds.values()))) < _LEAST or (
        time.perf_counter() - began < _SECONDS * len(functions) and len(next(iter(seconds.values()))) < _MOST
    ):
        for name, function in functions.items():
            function(images)  # brings its weights back into the caches
            clock = time.perf_counter()
            function(images)
            seconds[name].append(time.perf_counter() - clock)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def recommend(measured: Mapping[str, Record]) -> str:
    """The form of least cost: the geometric mean of bytes and both times, each relative to the dense form's."""
    return min(measured, key=lambda name: np.prod(list(ratios(measured, name).values())))


def ratios(measured: Mapping[str, Record], name: str) -> dict[str, float]:
    """Each cost of a form over that of the dense form."""
    costs = ("bytes", *(f"seconds_batch_{batch}" for batch in BATCHES))
    return {cost: measured[name][cost] / measured["dense"][cost] for cost in costs}


def table(measured: Mapping[str, Record], written: str, recommended: str) -> str:
    """The measured forms as lines of text; a star marks the one that was written."""
    lines = ["  form                bytes    1 sample   64 samples"]
    for name, row in measured.items():
        star = "*" if name == written else " "
        spent = [f"{1e6 * row[f'seconds_batch_{batch}']:,.0f} µs" for batch in BATCHES]
        label = f"{name}, {row['bits']} bits" if row["bits"] != 32 else name
        lines.append(f"{star} {label:<15}{_size(row['bytes']):>9}  {spent[0]:>10}  {spent[1]:>11}")
    part = ratios(measured, recommended)
    times = f"{part['seconds_batch_1']:.2g} and {part['seconds_batch_64']:.2g} of the time"
    words = f"{part['bytes']:.2g} of the bytes, {times} of the dense form"
    reason = "no other is smaller and faster taken together" if recommended == "dense" else words
    lines.append(f"  recommended on this machine: {recommended} ({reason})")
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 1e3:,.0f} kB" if count < 1e7 else f"{count / 1e6:,.1f} MB"
