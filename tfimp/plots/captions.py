"""What each figure is for, in a sentence or two, and the terms that the report defines."""

from __future__ import annotations

import dataclasses

from tfimp import catalogue


@dataclasses.dataclass(frozen=True)
class Caption:
    """A figure's heading, its caption, and the names of the definitions that it needs."""

    title: str
    text: str
    terms: tuple[str, ...] = ()


def caption(name: str) -> Caption:
    """That of a figure; of a user's own measure, what the measure says of itself."""
    if name in CAPTIONS:
        return CAPTIONS[name]
    return Caption(name, catalogue.MEASURES.get(name).caption)


CAPTIONS = {
    "accuracy": Caption(
        "Accuracy against density",
        "How well the networks of successive rounds classify as weights are removed. A winning ticket is a sparse "
        "round that does at least as well as the dense one.",
        ("density",),
    ),
    "receptive-fields": Caption(
        "Receptive fields: masked weights",
        "The trained weights of the first layer's units. If pruning finds local structure, the survivors gather in "
        "patches; the random twin shows what as many weights look like without any.",
        ("density", "locality"),
    ),
    "receptive-field-masks": Caption(
        "Receptive fields: surviving inputs",
        "Which inputs those units keep, whatever their weights.",
        ("density",),
    ),
    "receptive-fields-channels": Caption(
        "Receptive fields, channel by channel",
        "The same units with their channels apart: what looks pale in the sum may be opposite weights.",
    ),
    "kurtosis": Caption(
        "Non-Gaussianity of the pre-activations",
        "Kurtosis of each unit's input over the images of all classes together, as the density falls. Its sign says "
        "which way it differs from a Gaussian; the mixture of classes alone does not give 0.",
        ("kurtosis",),
    ),
    "negentropy": Caption(
        "Negentropy of the pre-activations",
        "Another measure of the same: how much less random than a Gaussian of equal variance, which also sees what "
        "the kurtosis misses and is less moved by a few outliers.",
        ("negentropy",),
    ),
    "within-classes": Caption(
        "Non-Gaussianity within classes",
        "How far each unit's input is from a Gaussian over the images of one class, beside the same weights at random "
        "inputs: what lies above the grey band is the choice of inputs.",
        ("within", "kurtosis", "negentropy"),
    ),
    "within-class-cavity": Caption(
        "Cavity within classes: removed against kept weights",
        "Do the weights that go next differ in what they do to their unit's kurtosis within classes, or to its size?",
        ("within", "cavity", "auc"),
    ),
    "stages": Caption(
        "Non-Gaussianity from stage to stage",
        "The images, what the layers make of them before and after the non-linearity: where on the way does the signal "
        "leave the Gaussian?",
        ("kurtosis", "negentropy"),
    ),
    "untrained-weights": Caption(
        "Non-Gaussianity at trained, rewound and random weights",
        "What the mask does by itself, and what training adds: the same connections with other weights on them.",
        ("kurtosis", "negentropy", "density"),
    ),
    "inverse-participation-ratio": Caption(
        "Localisation of the masked weights",
        "How few weights carry a unit. The grey band is what pruning by magnitude alone does to Gaussian weights.",
        ("participation",),
    ),
    "locality": Caption(
        "Locality of the masks",
        "Whether the inputs that a unit keeps lie close together: over all pairs, carried by the best connected units, "
        "and of the median unit, each beside chance.",
        ("locality",),
    ),
    "translation": Caption(
        "One pattern at several places",
        "A convolution repeats a pattern over the image. Do units do so? The best match of two units over all shifts, "
        "against units whose inputs are shuffled.",
        ("translation",),
    ),
    "displacements": Caption(
        "Pairs of surviving inputs by displacement",
        "All pairs of inputs that one unit keeps, by how far apart they lie, within a colour channel and across.",
        ("pairs",),
    ),
    "displacement-enrichment": Caption(
        "Pairs by displacement, relative to chance",
        "The same pairs over what the same number of connections would give anywhere in the image: orange where "
        "there are more, violet where there are fewer.",
        ("pairs", "locality"),
    ),
    "radial-profile": Caption(
        "Pairs against distance",
        "The maps above, averaged around the centre: how far locality reaches.",
        ("pairs",),
    ),
    "pairs-by-connectivity": Caption(
        "Pairs against distance, by number of connections",
        "The pairs of well connected units hide those of the others; here each band of units stands for itself.",
        ("pairs",),
    ),
    "field-size": Caption(
        "Size and place of the receptive fields",
        "How large the fields are as the density falls, and which parts of the image they cover in the end.",
        ("size",),
    ),
    "field-fits": Caption(
        "Fields and the Gabor functions that fit them best",
        "Edge detectors, in visual cortex and in the first layers of deep networks, are close to Gabor functions. How "
        "close are the best connected units?",
        ("gabor",),
    ),
    "connectivity": Caption(
        "Surviving inputs per unit",
        "Pruning starves some units and spares others; a binomial spread is what equal chances give.",
        ("density",),
    ),
    "connectivity-out": Caption(
        "Surviving weights per input",
        "The same seen from below: how many units of a layer still use each of its inputs, the pixels of the first "
        "layer and the units of the others.",
        ("density",),
    ),
    "input-usage": Caption(
        "Surviving weights per input position",
        "Which parts of the image the layer as a whole still looks at.",
    ),
    "cavity": Caption(
        "Cavity: removed against kept weights",
        "Does pruning remove the weights that hold a unit's kurtosis down? Then the removed weights have the larger "
        "mean, and the AUC lies above 0.5. Over all inputs together: the mixture of the classes counts too.",
        ("cavity", "auc"),
    ),
    "set-cavity": Caption(
        "Cavity of the set removed next",
        "Pruning removes many weights of a unit at once, and single values do not add up: what they do together.",
        ("cavity",),
    ),
    "cavity-statistics": Caption(
        "Cavity: size of the difference, and chance",
        "How large the difference between removed and kept weights is against the spread of all, and how far from what "
        "as many weights chosen at random would show.",
        ("cavity", "effect"),
    ),
    "cavity-beyond-magnitude": Caption(
        "Cavity beyond magnitude",
        "Is the cavity value informative beyond magnitude? Small weights have small effects and go first. Here only "
        "weights of nearly equal magnitude are compared.",
        ("cavity", "auc"),
    ),
    "cavity-signs": Caption(
        "Cavity of kurtosis and skewness",
        "With and without sign: whether removed weights differ in what they do to the asymmetry of their unit as well, "
        "and whether what they do leads away from a Gaussian or towards it.",
        ("cavity", "auc", "skewness"),
    ),
    "deeper-effects": Caption(
        "What a weight does to the kurtosis of the layers above",
        "The cavity looks at a weight's own unit. This follows its effect through the network, to first order.",
        ("downstream", "auc"),
    ),
    "cavity-by-magnitude": Caption(
        "Cavity value against magnitude",
        "The same question for every magnitude: a weight's effect on its unit's kurtosis against its size.",
        ("cavity",),
    ),
    "class-selectivity": Caption(
        "Class selectivity",
        "How much one class stands out for each unit, and whether all classes have units of their own.",
        ("selectivity",),
    ),
    "node-ablation": Caption(
        "Node ablation",
        "Do the best connected units carry the network? If so, removing them first costs most.",
        ("ablation",),
    ),
    "deeper-fields": Caption(
        "Deeper layers in input space",
        "What deeper units can see: the ways from each input through surviving weights, and the product of the masked "
        "kernels, which leaves the non-linearities out.",
        ("paths",),
    ),
    "mask-overlap": Caption(
        "Overlap of masks between rounds",
        "Whether one round's survivors are also another's.",
        ("overlap",),
    ),
}
