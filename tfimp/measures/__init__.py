"""What is measured after a round: the probes applied to one network; numbers for metrics.json, arrays for plots."""

from __future__ import annotations

from tfimp.measures.inputs import ConnectedInputs, KernelInputs, probe_samples
from tfimp.measures.layers import Inputs, measure_layers
from tfimp.measures.numbers import summary
from tfimp.measures.requested import Requested, measure_at_the_end
from tfimp.measures.stored import measure_round

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
