"""Rows of inputs in batches, whether they come as one array, a list of batches or a callable that starts a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from jaxtyping import Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError

Rows = Shaped[Array, "rows features"]
Start = Callable[[], Iterator[Rows]]
# an array, a re-iterable of batches, or a callable that returns a fresh iterator
Inputs = Shaped[Array, "n features"] | Iterable[Rows] | Callable[[], Iterable[Rows]]


def batches(inputs: Inputs, batch_size: int, features: int | None = None) -> Start:
    """A function that starts a new pass over ``inputs``, giving batches of at most ``batch_size`` rows.

    Raises:
        DataError: a one-shot iterator (a second pass would be empty), or a batch that is not (rows, features).
    """
    if batch_size < 1:
        raise DataError(f"batch_size: got {batch_size}; accepted: a positive number of rows")
    start = _starter(inputs)

    def one_pass() -> Iterator[Rows]:
        for batch in start():
            _check(batch, features)
            rows = int(batch.shape[0])
            parts = max(1, -(-rows // batch_size))
            size = -(-rows // parts)  # equal parts: no nearly empty last one to be padded
            for part in range(parts):
                yield batch[part * size : (part + 1) * size] if parts > 1 else batch

    return one_pass


def _starter(inputs: Inputs) -> Callable[[], Iterable[Rows]]:
    if isinstance(inputs, Array):
        return lambda: [inputs]
    if callable(inputs):
        return inputs
    if isinstance(inputs, Iterator):
        raise DataError(
            f"inputs: got a one-shot iterator ({type(inputs).__name__}), but more than one pass is needed; "
            "accepted: an array (n, features), a list or data set of batches, or a function that starts the iterator"
        )
    if isinstance(inputs, Iterable):
        return lambda: inputs
    raise DataError(f"inputs: got {type(inputs).__name__}; accepted: an array (n, features) or batches of such arrays")


def _check(batch: object, features: int | None) -> None:
    shape = getattr(batch, "shape", None)
    if shape is None or len(shape) != 2 or (features is not None and int(shape[1]) != features):
        received = type(batch).__name__ if shape is None else f"shape {tuple(shape)}"
        raise DataError(f"inputs: got a batch of {received}; accepted: (rows, {features or 'features'})")
