"""What the claims about every Keras share: small models, what watches their training, and all optimisers."""

from __future__ import annotations

import tempfile
import warnings

import numpy as np

import tfimp
from tfimp.errors import ConfigError, PruningWarning
from tfimp.pruning import wrapper

SCHEDULE = tfimp.IterativeMagnitudeSchedule
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 6)).astype("float32"), RNG.integers(3, size=24)
CLAIMS = {}
KINDS = {}


def claim(function):
    """A fault that once was; the name says what holds now."""
    CLAIMS[function.__name__.replace("_", " ")] = function
    return function


def kind(name):
    """A kind of model, for the table in the documentation."""

    def add(function):
        KINDS[name] = function
        return function

    return add


def is_tf_keras(keras):
    return keras.__name__.startswith("tf_keras")


def backend(keras):
    return "tf_keras" if is_tf_keras(keras) else keras.backend.backend()


def network(keras, units=5, **options):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(units, "relu", name="h", **options)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="out")(hidden))


def loss(keras):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def arrays(variables):
    return {name: wrapper.to_numpy(value).copy() for name, value in variables.items()}


def weights(model):
    return arrays(wrapper.model_variables(model))


def watcher(keras):
    """A callback that checks pruned weights and their slots after each step, and counts rounds."""

    class Watch(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.steps, self.starts, self.slots = 0, [], True
            self.before = None

        def on_train_batch_begin(self, batch, logs=None):
            masks = tfimp.masks(self.model)
            if self.before is not None and any((masks[name] != self.before[name]).any() for name in masks):
                self.starts.append(self.steps)
            self.before = masks

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            home = wrapper.home(self.model)
            home.synchronise(self.model)
            masks = tfimp.masks(self.model)
            values = weights(self.model)
            if self.slots and getattr(self.model, "optimizer", None) is not None:
                values |= arrays(home.optimizer_variables(self.model))
            for name, value in values.items():
                mask = masks.get(name.split("/", 2)[-1] if name.startswith("optimizer/") else name)
                if mask is not None and mask.shape == value.shape:
                    # Adafactor's v is a product of its means over rows and columns, no slot of one weight
                    gone = value[~mask] * (not name.startswith("optimizer/v/"))
                    assert not gone.any(), f"{name} after step {self.steps}: pruned entries are not 0"

    return Watch()


def fit(keras, model, epochs=2, x=X, y=Y, callbacks=(), rewind=None, **options):
    watch = watcher(keras)
    callbacks = [rewind or tfimp.Rewind(), *callbacks, watch]
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **options)
    return watch


def warned(function, *words):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PruningWarning)
        result = function()
    said = [str(one.message) for one in caught if issubclass(one.category, PruningWarning)]
    assert len(said) == bool(words), said
    for word in words:
        assert word in said[0], said
        assert "\n" not in said[0]
    return result


def refused(function, *words):
    try:
        function()
    except ConfigError as error:
        line = str(error)
        assert "\n" not in line
        assert all(word in line for word in words), line
        return line
    raise AssertionError("not refused")


def survivors(size, fraction, times):
    for _ in range(times):
        size -= round(fraction * size)
    return size


def check(keras, model, x=X, y=Y, schedule=None, save=True, **options):
    """Two rounds of a model: exact survivors, zeros after every step, the plain model equal, saved and loaded equal."""
    schedule = schedule or SCHEDULE(2, 3, 0.5)
    pruned = tfimp.prune(model, schedule, layers="*", **options)
    pruned.compile(keras.optimizers.Adam(0.01), loss(keras))
    before = pruned.predict(x, verbose=0)
    assert np.allclose(before, model.predict(x, verbose=0), atol=1e-5)
    counts = {name: mask.size for name, mask in tfimp.masks(pruned).items()}
    watch = fit(keras, pruned, x=x, y=y)
    assert watch.starts == list(schedule.boundaries), watch.starts
    groups = {}
    for name, mask in tfimp.masks(pruned).items():
        size, left = groups.get(name.rpartition("/")[0], (0, 0))
        groups[name.rpartition("/")[0]] = size + counts[name], left + int(mask.sum())
    for group, (size, left) in groups.items():
        assert left == survivors(size, 0.5, 1), (group, size, left)
    after = pruned.predict(x, verbose=0)
    plain = tfimp.strip(pruned)
    assert "rune" not in "".join(type(layer).__name__ for layer in plain._flatten_layers())
    assert np.allclose(plain.predict(x, verbose=0), after, atol=1e-5)
    if not save:
        return pruned
    with tempfile.TemporaryDirectory() as folder:
        pruned.save(f"{folder}/model.keras")
        again = keras.models.load_model(f"{folder}/model.keras")
        assert np.allclose(again.predict(x, verbose=0), after, atol=1e-5)
        assert [m.sum() for m in tfimp.masks(again).values()] == [m.sum() for m in tfimp.masks(pruned).values()]
    return pruned


# Optimisers.

FORMS = {
    "weight_decay": {"weight_decay": 0.05},
    "ema": {"use_ema": True, "ema_overwrite_frequency": 2},
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.1},
}
VARIANTS = ("plain", "constraint", *FORMS, "everything")


def optimizers(keras):
    """name -> a function that makes the optimiser with options, for all that this Keras exports."""
    found = {}
    modules = {"": keras.optimizers}
    if is_tf_keras(keras):
        modules["legacy."] = keras.optimizers.legacy
    for prefix, module in modules.items():
        for name, value in vars(module).items():
            known = isinstance(value, type) and issubclass(value, modules[prefix].Optimizer)
            if (
                known
                and value is not modules[prefix].Optimizer
                and "LossScale" not in name
                and name != "MultiOptimizer"
            ):
                found[prefix + name] = value
    if hasattr(keras.optimizers, "MultiOptimizer"):
        inner = keras.optimizers

        def several(rate, **options):
            first, second = inner.Muon(rate, **options), inner.SGD(rate, momentum=0.9, **options)
            return inner.MultiOptimizer(lambda variable: first if "h/" in variable.path else second)

        found["MultiOptimizer"] = several
        found["LossScaleOptimizer"] = lambda rate, **options: inner.LossScaleOptimizer(
            inner.Adam(rate), initial_scale=2.0
        )
    elif hasattr(keras.mixed_precision, "LossScaleOptimizer"):
        adam = keras.optimizers.Adam
        found["LossScaleOptimizer"] = lambda rate, **options: keras.mixed_precision.LossScaleOptimizer(adam(rate))
    return found


def options_of(name, variant):
    """What an optimiser is made with; those of old know clipping only."""
    if name == "LossScaleOptimizer":
        return {}
    forms = [
        form for form in FORMS if variant == form or (variant == "everything" and not form.startswith(("clipv", "gl")))
    ]
    known = [form for form in forms if form.startswith("clip") or not name.startswith("legacy.")]
    return {key: value for form in known for key, value in FORMS[form].items()}


def registered(keras):
    return (keras.utils if is_tf_keras(keras) else keras.saving).register_keras_serializable("any_keras")


def mover(keras):
    @registered(keras)
    class Move(keras.constraints.Constraint):
        def __call__(self, weight):
            return weight + 0.01

    return Move()


def check_optimizer(keras, name, variant, eager=True):
    """Two rounds: zeros after every step, in the slots too."""
    keras.utils.set_random_seed(1)
    constraint = mover(keras) if variant in ("constraint", "everything") else None
    model = tfimp.prune(network(keras, kernel_constraint=constraint), SCHEDULE(2, 2, 0.5, 1), layers="*")
    optimizer = optimizers(keras)[name](0.01, **options_of(name, variant))
    model.compile(optimizer, loss(keras), run_eagerly=eager)
    fit(keras, model, epochs=2)
    values, masks = weights(model), tfimp.masks(model)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"h/kernel": 15, "out/kernel": 7}
    for name, mask in masks.items():
        assert not values[name][~mask].any(), f"{name} at the end"
        assert values[name][mask].any()


def once(batches):
    """A generator that ends, and does not say when."""
    for index in range(batches):
        start = 8 * index % 24
        yield X[start : start + 8], Y[start : start + 8]


def unknown_length(keras, batches):
    if backend(keras) == "torch":
        import torch

        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                return iter(
                    [(row, label) for rows, labels in once(batches) for row, label in zip(rows, labels, strict=True)]
                )

        return torch.utils.data.DataLoader(Stream(), batch_size=8)
    import tensorflow as tf

    signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None,), tf.int64))
    return tf.data.Dataset.from_generator(lambda: once(batches), output_signature=signature)


def compiled(keras, schedule, model=None, **options):
    keras.utils.set_random_seed(3)
    pruned = tfimp.prune(model or network(keras), schedule, **options)
    pruned.compile(keras.optimizers.Adam(0.01), loss(keras))
    return pruned


def quiet(function):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5")
        return function()
