"""The measures: arrays in, numbers out. TensorFlow is loaded by the first call of something that multiplies much."""

from __future__ import annotations

from tfimp.probes.cavity import Cavity, cavity
from tfimp.probes.comparison import Comparison, removal_comparison
from tfimp.probes.connectivity import Connectivity, binomial_null, connectivity
from tfimp.probes.displacements import Displacements, displacements
from tfimp.probes.localisation import inverse_participation_ratio
from tfimp.probes.locality import Locality, locality
from tfimp.probes.moments import Moments, central_moments, excess_kurtosis, skewness

__all__ = [
    "Cavity",
    "Comparison",
    "Connectivity",
    "Displacements",
    "Locality",
    "Moments",
    "binomial_null",
    "cavity",
    "central_moments",
    "connectivity",
    "displacements",
    "excess_kurtosis",
    "inverse_participation_ratio",
    "locality",
    "removal_comparison",
    "skewness",
]
