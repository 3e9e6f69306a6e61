"""Kinds of models, for the table in the documentation; each takes the Keras and a folder."""

from __future__ import annotations

import warnings

from any_keras import RNG, SCHEDULE, X, Y, backend, check, fit, kind, loss, network, refused
from any_keras_models import (
    layers_shared_between_nested_models_stay_shared,
    legacy_h5_files_are_warned_of_and_not_gone_on_from,
    steps_per_execution_is_refused_at_the_start,
    strip_finds_wrappers_wherever_they_are,
    tflite_files_compute_what_the_model_computes,
    what_a_functional_subclass_holds_comes_along,
)
from any_keras_training import (
    a_layer_of_ones_own_without_output_shape,
    a_training_step_of_ones_own_keeps_zeros,
    functional_models_with_bare_operations_and_masks,
    rounds_begin_at_batches_that_are_trained,
)

import tfimp
from tfimp.pruning import wrapper


def head(keras, inputs, hidden, **options):
    flat = keras.layers.Flatten()(hidden) if len(hidden.shape) > 2 else hidden
    return keras.Model(inputs, keras.layers.Dense(3, name="out", **options)(flat))


def sequence(keras, *layers, shape=(4, 6), dtype="float32"):
    inputs = hidden = keras.Input(shape, dtype=dtype)
    for layer in layers:
        hidden = layer(hidden)
    return head(keras, inputs, hidden)


def checked(build, shape=(6,), tokens=0, **options):
    def run(keras, folder):
        x = RNG.integers(0, tokens, (24, *shape)) if tokens else RNG.normal(size=(24, *shape)).astype("float32")
        check(keras, build(keras), x=x, **options)

    return run


IMAGE, TIMES = (5, 5, 2), (4, 6)
for title, shape, layers in (
    ("convolutions, transposed too", IMAGE, lambda k: [k.Conv2D(3, 2, name="h"), k.Conv2DTranspose(2, 2, name="t")]),
    ("separable convolutions (pointwise kernels)", IMAGE, lambda k: [k.SeparableConv2D(3, 2, name="h")]),
    ("depthwise convolutions", IMAGE, lambda k: [k.DepthwiseConv2D(2, depth_multiplier=2, name="h")]),
    ("batch and layer normalisation (stay dense)", TIMES, lambda k: [k.BatchNormalization(), k.LayerNormalization()]),
    ("recurrent layers: LSTM, GRU, simple RNN", TIMES, lambda k: [
        k.LSTM(3, return_sequences=True, name="a"), k.GRU(3, return_sequences=True, name="b"), k.SimpleRNN(4)]),
    ("stacked cells in an RNN", TIMES, lambda k: [k.RNN([k.LSTMCell(3), k.GRUCell(3)], name="h")]),
    ("Bidirectional", TIMES, lambda k: [k.Bidirectional(k.LSTM(3), name="h")]),
    ("TimeDistributed", TIMES, lambda k: [k.TimeDistributed(k.Dense(5), name="h")]),
    ("EinsumDense", TIMES, lambda k: [k.EinsumDense("abc,cd->abd", (4, 5), name="h")]),
):  # fmt: skip
    kind(title)(
        checked(lambda keras, shape=shape, layers=layers: sequence(keras, *layers(keras.layers), shape=shape), shape)
    )


@kind("Sequential")
def _(keras, folder):
    layers = [keras.layers.Dense(5, "relu", name="h"), keras.layers.Dense(3, name="out")]
    check(keras, keras.Sequential([keras.layers.Input((6,)), *layers]))


@kind("functional, several inputs and outputs")
def _(keras, folder):
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    hidden = keras.layers.Concatenate()([keras.layers.Dense(5, name="h")(one), two])
    outputs = [keras.layers.Dense(3, name=name)(hidden) for name in ("out", "other")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = tfimp.prune(keras.Model([one, two], outputs), SCHEDULE(2, 3, 0.5))
    assert len(tfimp.masks(model)) == 3  # which of several heads is the output layer is not known, which is said
    assert any("pruned: h, out, other; the model has 2 outputs" in str(warning.message) for warning in said)
    model.compile("adam", [loss(keras), loss(keras)])
    fit(keras, model, x=[X, X], y=[Y, Y])


kind("bare operations, slices, masks of time steps")(functional_models_with_bare_operations_and_masks)
kind("layers shared within and between nested models")(layers_shared_between_nested_models_stay_shared)


@kind("nested models")
def _(keras, folder):
    inner = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(5, name="h")], name="inner")
    check(keras, keras.Sequential([keras.layers.Input((6,)), inner, keras.layers.Dense(3, name="out")]))


@kind("attention with queries and values")
def _(keras, folder):
    one, two = keras.Input((4, 6)), keras.Input((3, 5))
    hidden = keras.layers.MultiHeadAttention(2, 3, name="h")(one, two)
    shapes = [(24, 4, 6), (24, 3, 5)]
    check(keras, head(keras, [one, two], hidden), x=[RNG.normal(size=shape).astype("float32") for shape in shapes])


kind("embeddings")(
    checked(
        lambda keras: sequence(keras, keras.layers.Embedding(9, 3, name="h"), shape=(4,), dtype="int32"), (4,), tokens=9
    )
)


@kind("mixed precision")
def _(keras, folder):
    policy = "mixed_bfloat16"
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, "relu", name="h", dtype=policy)(inputs)
    check(keras, keras.Model(inputs, keras.layers.Dense(3, name="out", dtype="float32")(hidden)))


@kind("regularisers and constraints")
def _(keras, folder):
    regularizer = keras.regularizers.OrthogonalRegularizer(0.1)
    check(keras, network(keras, kernel_regularizer=regularizer, kernel_constraint=keras.constraints.UnitNorm()))


kind("a layer of one's own with get_prunable_weights()")(a_layer_of_ones_own_without_output_shape)
kind("a functional subclass with a train_step of its own")(a_training_step_of_ones_own_keeps_zeros)
kind("attributes of a functional subclass")(what_a_functional_subclass_holds_comes_along)
kind("a subclassed model, its layers wrapped where they are made")(strip_finds_wrappers_wherever_they_are)


@kind("a subclassed model as a whole")
def _(keras, folder):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.h = keras.layers.Dense(3)

        def call(self, x):
            return self.h(x)

    model = Subclassed()
    model(X[:1])
    return refused(lambda: tfimp.prune(model, SCHEDULE(2, 3)), "Subclassed", "where they are made")


kind("data of unknown length")(rounds_begin_at_batches_that_are_trained)


@kind("several steps per execution, where they divide a round")
def _(keras, folder):
    if backend(keras) == "torch":
        return "PyTorch's fit has no executions of several steps"
    model = tfimp.prune(network(keras), SCHEDULE(2, 3, 0.5))
    model.compile("adam", loss(keras), steps_per_execution=3)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[tfimp.Rewind()])
    assert wrapper.home(model).progress_of(model).round == 1


kind("several steps per execution, where they do not")(steps_per_execution_is_refused_at_the_start)
kind("going on from a .keras file")(
    lambda keras, folder: check(keras, network(keras)) and None,
)
kind("going on from a legacy .h5 file")(legacy_h5_files_are_warned_of_and_not_gone_on_from)
kind(".tflite of the stripped model")(tflite_files_compute_what_the_model_computes)


@kind("tf.distribute.MirroredStrategy")
def _(keras, folder):
    if backend(keras) not in ("tf_keras", "tensorflow"):
        return "a strategy of TensorFlow's"
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = tfimp.prune(network(keras), SCHEDULE(2, 3, 0.5))
        model.compile(keras.optimizers.Adam(0.01), loss(keras))
    fit(keras, model)
    assert tfimp.masks(model)["h/kernel"].sum() == 15
