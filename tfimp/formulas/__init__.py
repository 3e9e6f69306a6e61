"""The measures: arrays in, numbers out. TensorFlow is loaded by the first call of something that multiplies much."""

from __future__ import annotations

from tfimp.formulas.ablation import Ablation, AblationCurves, ablation_curves, ablation_steps, node_ablation
from tfimp.formulas.cavity import Cavity, cavity
from tfimp.formulas.classes import Selectivity, class_selectivity, selectivity_of_means
from tfimp.formulas.comparison import Comparison, removal_comparison
from tfimp.formulas.connectivity import Connectivity, Usage, binomial_null, connectivity, input_usage
from tfimp.formulas.displacements import Displacements, displacements
from tfimp.formulas.downstream import DenseLayer, dense_stack, downstream_effect
from tfimp.formulas.fields import Coverage, Fields, centres_by_chance, coverage, receptive_fields
from tfimp.formulas.fits import Fit, field_maps, fit_gabor, fit_gaussian
from tfimp.formulas.localisation import inverse_participation_ratio
from tfimp.formulas.locality import Locality, localities, locality, unit_locality
from tfimp.formulas.magnitude import MagnitudeBins, comparison_at_threshold, comparison_by_magnitude
from tfimp.formulas.moments import Moments, central_moments, excess_kurtosis, skewness
from tfimp.formulas.negentropy import negentropy
from tfimp.formulas.nulls import (
    Null,
    PermutedWeights,
    median_of_random_places,
    participation_after_pruning,
    permuted_weights,
)
from tfimp.formulas.overlap import Overlap, mask_overlap
from tfimp.formulas.pre_activations import PreActivations, Removals, Shapes, pre_activations, shapes
from tfimp.formulas.products import kernel_product, mask_product
from tfimp.formulas.profiles import (
    Band,
    RadialProfile,
    displacement_spread,
    displacements_by_band,
    expected_displacements,
    radial_profile,
    rings,
)
from tfimp.formulas.removal import RemovalStatistics, removal_statistics
from tfimp.formulas.set_cavity import SetCavity, set_cavity
from tfimp.formulas.translation import Translation, translation
from tfimp.formulas.within_classes import WithinClasses, within_classes

__all__ = [
    "Ablation",
    "AblationCurves",
    "Band",
    "Cavity",
    "Comparison",
    "Connectivity",
    "Coverage",
    "DenseLayer",
    "Displacements",
    "Fields",
    "Fit",
    "Locality",
    "MagnitudeBins",
    "Moments",
    "Null",
    "Overlap",
    "PermutedWeights",
    "PreActivations",
    "RadialProfile",
    "RemovalStatistics",
    "Removals",
    "Selectivity",
    "SetCavity",
    "Shapes",
    "Translation",
    "Usage",
    "WithinClasses",
    "ablation_curves",
    "ablation_steps",
    "binomial_null",
    "cavity",
    "central_moments",
    "centres_by_chance",
    "class_selectivity",
    "comparison_at_threshold",
    "comparison_by_magnitude",
    "connectivity",
    "coverage",
    "dense_stack",
    "displacement_spread",
    "displacements",
    "displacements_by_band",
    "downstream_effect",
    "excess_kurtosis",
    "expected_displacements",
    "field_maps",
    "fit_gabor",
    "fit_gaussian",
    "input_usage",
    "inverse_participation_ratio",
    "kernel_product",
    "localities",
    "locality",
    "mask_overlap",
    "mask_product",
    "median_of_random_places",
    "negentropy",
    "node_ablation",
    "participation_after_pruning",
    "permuted_weights",
    "pre_activations",
    "radial_profile",
    "receptive_fields",
    "removal_comparison",
    "removal_statistics",
    "rings",
    "selectivity_of_means",
    "set_cavity",
    "shapes",
    "skewness",
    "translation",
    "unit_locality",
    "within_classes",
]
