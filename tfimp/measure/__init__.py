"""What is measured after a round: the probes applied to one network; numbers for metrics.json, arrays for plots."""

from __future__ import annotations

from tfimp.measure.inputs import ConnectedInputs, KernelInputs, probe_samples
from tfimp.measure.layers import Inputs, measure_layers
from tfimp.measure.numbers import summary
from tfimp.measure.requested import Requested, measure_at_the_end
from tfimp.measure.stored import measure_round

__all__ = [
    "ConnectedInputs",
    "Inputs",
    "KernelInputs",
    "Requested",
    "measure_at_the_end",
    "measure_layers",
    "measure_round",
    "probe_samples",
    "summary",
]
