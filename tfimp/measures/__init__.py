"""What is measured of a trained network: the formulas applied to it; numbers for metrics.json, arrays for figures.

Which measures there are says `tfimp.catalogue`; `measuring.measure` is the one path by which they are computed.
"""

from __future__ import annotations

from tfimp.measures.inputs import KernelInputs
from tfimp.measures.layer import Layer
from tfimp.measures.measuring import measure
from tfimp.measures.network import MeasuredNetwork, Sight
from tfimp.measures.samples import seen
from tfimp.measures.stored import StoredNetworks, measure_at_the_end

__all__ = [
    "KernelInputs",
    "Layer",
    "MeasuredNetwork",
    "Sight",
    "StoredNetworks",
    "measure",
    "measure_at_the_end",
    "seen",
]
