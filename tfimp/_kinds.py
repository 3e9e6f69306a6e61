"""Names for what other libraries give without types, and for plain data.

Neither Keras nor TensorFlow says its types: these names tell a reader what is meant, and a type checker nothing.
"""

from __future__ import annotations

from typing import Any, TypeAlias

# of either Keras
Layer: TypeAlias = Any
Model: TypeAlias = Any
Optimizer: TypeAlias = Any
Variable: TypeAlias = Any

# TensorFlow's or Keras's, with numbers or in a traced program
Tensor: TypeAlias = Any
# of a tf.function, for one signature
Traced: TypeAlias = Any

# what a JSON or TOML file holds
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
# names with values of many kinds, which their reader knows: an object or a table of one, or options
Record: TypeAlias = dict[str, Any]
