"""The list of tfimp's own measures, the only one; where each is computed is said by name and imported when needed."""

from __future__ import annotations

from tfimp.catalogue.description import Headline, Measure

_OF_UNITS = "median over live units with at least three inputs"
_SHAPES = {
    **{f"{kind}_{word}": "(units,)" for kind in ("rewound", "random") for word in ("kurtosis", "negentropy")},
    **{f"{kind}_input_{word}": "(fan_in,)" for kind in ("rewound", "random") for word in ("kurtosis", "negentropy")},
}
BUILT_IN = (
    Measure(
        "within_class",
        "tfimp.measures.signals:within_class",
        arrays={
            "within_kurtosis": "(units,)",
            "within_absolute_kurtosis": "(units,)",
            "within_negentropy": "(units,)",
            "within_cavity_delta": "(survivors,)",
            "within_cavity_absolute_delta": "(survivors,)",
            "within_set_delta": "(units,)",
        },
        headline=(
            Headline(
                "within-class negentropy", ("within_class", "negentropy"), "negent", 6, 4,
                null=("within_class", "negentropy_null"), per_unit="within_negentropy", reference=0.0,
                explained=f"negent, |kurt|: negentropy (nats) and size of the excess kurtosis of a unit's input within "
                f"classes, {_OF_UNITS}",
            ),
            Headline(
                "within-class |kurtosis|", ("within_class", "absolute_kurtosis"), "|kurt|", 6, 2,
                null=("within_class", "absolute_kurtosis_null"), per_unit="within_absolute_kurtosis", reference=0.0,
            ),
            Headline(
                "null of the |kurtosis|", ("within_class", "absolute_kurtosis_null", "mean"), "null", 5, 2,
                compared=False, explained="null: that |kurt| with each unit's weights at random inputs",
            ),
            Headline(
                "within-class cavity AUC", ("within_class", "cavity", "auc"), "AUC", 5, 3, reference=0.5, share=True,
                interval=(("within_class", "cavity", "auc_low"), ("within_class", "cavity", "auc_high")),
                explained="AUC: chance that a weight which goes next has the larger cavity value (change of a unit's "
                "kurtosis within classes without it) than one which stays; 0.5: no difference",
            ),
        ),
        caption="Non-Gaussianity over the inputs of one class, averaged over classes: what classes that differ do to "
        "the pooled numbers is gone. With the same weights at random inputs as its null.",
        figure=("within-classes", "within-class-cavity"),
    ),
    Measure(
        "kurtosis",
        "tfimp.measures.signals:kurtosis",
        arrays={
            "excess_kurtosis": "(units,)",
            "negentropy": "(units,)",
            "skewness": "(units,)",
            "input_kurtosis": "(fan_in,)",
            "input_negentropy": "(fan_in,)",
        },
        headline=(
            Headline(
                "excess kurtosis, all classes", ("excess_kurtosis", "median"), per_unit="excess_kurtosis", reference=0.0
            ),
        ),
        caption="Shape of the pre-activations over all inputs together, and of their inputs. It measures the mixture "
        "of the classes too: Gaussian classes do not give 0.",
        figure=("kurtosis", "negentropy", "stages"),
    ),
    Measure(
        "cavity",
        "tfimp.measures.signals:cavity",
        arrays={"cavity_delta": "(survivors,)", "removed_next": "(survivors,)", "set_delta": "(units,)"},
        headline=(
            Headline(
                "cavity AUC, all classes", ("cavity", "auc"), reference=0.5, share=True,
                interval=(("cavity", "auc_low"), ("cavity", "auc_high")),
            ),
        ),
        caption="What the removal of each single weight does to the kurtosis of its unit over all inputs together: the "
        "weights that pruning takes next against those that it keeps.",
        figure=("cavity", "cavity-statistics", "cavity-by-magnitude", "cavity-beyond-magnitude", "set-cavity"),
    ),
    Measure(
        "locality",
        "tfimp.measures.structure:locality",
        arrays={
            "same_channel": "(2*height-1, 2*width-1)",
            "different_channel": "(2*height-1, 2*width-1)",
            "unit_locality": "(units,)",
        },
        headline=(
            Headline(
                "locality ratio", ("locality", "ratio"), "local", 5, 2, null=("locality",), reference=1.0,
                explained="local, z: locality ratio of its mask over all pairs (1: none), in deviations from chance",
            ),
            Headline("z of the locality ratio", ("locality", "z"), "z", 5, 1, compared=False, reference=0.0),
            Headline(
                "locality ratio, median unit", ("locality", "median_unit"), per_unit="unit_locality", reference=1.0
            ),
        ),
        caption="Whether the surviving inputs of a unit lie close together: pairs within a distance over what chance "
        "gives, over all pairs and of the median unit. Of layers that see the image.",
        figure=("locality", "displacements", "displacement-enrichment", "radial-profile", "pairs-by-connectivity"),
    ),
    Measure(
        "ipr",
        "tfimp.measures.structure:ipr",
        arrays={"ipr": "(units,)"},
        headline=(
            Headline("inverse participation ratio", ("ipr", "median"), null=("ipr", "null"), per_unit="ipr", log=True),
        ),
        caption="Inverse participation ratio of the masked weights: how few of them carry a unit; with Gaussian "
        "weights pruned by magnitude as its null.",
        figure=("inverse-participation-ratio",),
    ),
    Measure(
        "connectivity",
        "tfimp.measures.structure:connectivity",
        arrays={"connections": "(units,)", "input_usage": "(fan_in,)"},
        caption="Surviving inputs of every unit, surviving weights of every input.",
        figure=("connectivity", "connectivity-out", "input-usage"),
    ),
    Measure(
        "selectivity",
        "tfimp.measures.signals:selectivity",
        arrays={"preferred_classes": "(preferred, units)", "selectivity": "(units,)"},
        caption="Which classes drive a unit above zero, and how much one class stands out.",
        figure=("class-selectivity",),
    ),
    Measure(
        "removal",
        "tfimp.measures.removal:removal",
        when="end",
        arrays={"skewness_delta": "(survivors,)", "random_set_delta": "(units,)"},
        caption="The cavity in full: skewness and kurtosis, with and without sign, beyond magnitude, random sets.",
        figure=("cavity-signs",),
    ),
    Measure(
        "untrained",
        "tfimp.measures.untrained:untrained",
        when="end",
        arrays=_SHAPES,
        caption="Non-Gaussianity at weights that were not trained, under the same mask.",
        figure=("untrained-weights",),
    ),
    Measure(
        "downstream",
        "tfimp.measures.downstream:downstream",
        when="end",
        arrays={"effect_on_LAYER": "(survivors,)"},
        caption="What single weights do, to first order, to the kurtosis of the layers above.",
        figure=("deeper-effects",),
    ),
    Measure(
        "ablation",
        "tfimp.measures.ablation:ablation",
        when="end",
        arrays={
            f"{kind}_{word}": "(repeats, steps)" if word == "random" else "(steps,)"
            for kind in ("ablation", "kernel_ablation")
            for word in ("removed", "most", "least", "random")
        },
        caption="Test accuracy without a layer's best, least or randomly connected units.",
        figure=("node-ablation",),
    ),
)  # fmt: skip
