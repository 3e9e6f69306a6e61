"""The base of tfimp's callbacks: what `fit` of either Keras expects of one, without importing either."""

from __future__ import annotations

from typing import Any

from tfimp._kinds import Model, Record


class Callback:
    """A callback for the `fit` of tf_keras and of Keras 3; hooks that a child does not define do nothing."""

    # Lets fit hand over its logs as tensors: these callbacks do not read them.
    _supports_tf_logs = True
    async_safe = False

    def __init__(self) -> None:
        self.model: Model = None
        self.params: Record = {}

    def set_model(self, model: Model) -> None:
        """Called by `fit`."""
        self.model = model

    def set_params(self, params: Record | None) -> None:
        """Called by `fit`."""
        self.params = params or {}

    def _ignore(self, *_: Any, **__: Any) -> None:
        """A hook that has nothing to do."""

    on_train_begin = on_train_end = on_epoch_begin = on_epoch_end = _ignore
    on_batch_begin = on_batch_end = on_train_batch_begin = on_train_batch_end = _ignore
    on_test_begin = on_test_end = on_test_batch_begin = on_test_batch_end = _ignore
    on_predict_begin = on_predict_end = on_predict_batch_begin = on_predict_batch_end = _ignore

    def _implements_train_batch_hooks(self) -> bool:
        return True

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False
