"""Conditions against independent computations: what each promises to keep, and what it is meant to destroy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import Dataset, Split, apply_conditions, clones
from tfimp.errors import ConfigError, DataError

PARTS = ("train", "validation", "test")


def photographs(**keys) -> Dataset:
    return tfimp.data.load(DataConfig(**{"train": 900, "validation": 90, "test": 90, "patch": 8, **keys}))


def copied(dataset: Dataset) -> Dataset:
    parts = {part: Split(split.images.copy(), split.labels.copy()) for part, split in dataset.parts.items()}
    return dataclasses.replace(dataset, **parts)


@pytest.fixture(scope="module")
def original() -> Dataset:
    return photographs()


def after(dataset: Dataset, *conditions: str, seed: int = 3) -> Dataset:
    return apply_conditions(copied(dataset), conditions, seed)


def real(dataset: Dataset, part: str = "train") -> np.ndarray:
    """What a network sees, in units of the original pixels (n, features) float64, up to the mean image."""
    return (dataset.parts[part].images.astype(np.float64) - dataset.mean) / dataset.scale * 255


def heavy_tailed(samples: int, features: int, classes: int) -> Dataset:
    """uint8 images with a strong covariance and heavy tails, different in each class."""
    generator = np.random.default_rng(7)
    labels = np.arange(samples, dtype=np.int32) % classes
    images = np.empty((samples, features), np.uint8)
    for label in range(classes):
        rows = np.flatnonzero(labels == label)
        mix = generator.standard_normal((24, features)) / 5
        sources = generator.laplace(size=(len(rows), 24)) * generator.gamma(0.7, size=(len(rows), 1))
        noise = 4 * generator.standard_normal((len(rows), features))
        images[rows] = np.clip(np.rint(128 + 6 * label + 60 * sources @ mix + noise), 0, 255)
    parts = {part: Split(images.copy(), labels.copy()) for part in PARTS}
    return Dataset("made", **parts, image_shape=(1, features, 1), class_names=tuple("abcdef"[:classes]), scale=255.0)


@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 4), (np.float32, 5)])
def test_a_square_of_frequencies_is_the_sum_of_their_waves(dtype: type, size: int) -> None:
    """By sums over waves from -size/2 to size/2 - 1 along each axis (size 5: to 2)."""
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (6, 8, 7, 2)) if dtype is np.uint8 else generator.standard_normal((6, 8, 7, 2))
    images = images.astype(dtype)
    parts = {part: Split(images.reshape(6, -1).copy(), np.arange(6, dtype=np.int32) % 2) for part in PARTS}
    before = Dataset("made", **parts, image_shape=(8, 7, 2), class_names=("a", "b"), scale=255.0)

    def wave(side: int) -> np.ndarray:
        gap = np.subtract.outer(np.arange(side), np.arange(side))
        frequencies = range(-(size // 2), size // 2 + size % 2)
        return sum(np.exp(2j * np.pi * k * gap / side) for k in frequencies) / side

    back = np.einsum("ab,cd,nbdk->nack", wave(8), wave(7), images.astype(np.float64))
    expected = (np.abs(back) if dtype is np.uint8 else back.real).reshape(6, -1)
    found = after(before, f"low-pass-square:{size}")
    step = before.scale / found.scale if dtype is np.uint8 else 0
    seen = real(found) + expected.mean(axis=0) if dtype is np.uint8 else found.train.images
    np.testing.assert_allclose(seen, expected, atol=step + 1e-4)
    with pytest.raises(ConfigError, match="low-pass-square"):
        after(before, "low-pass-square:0.5")


def test_gaussian_clone_of_3072_inputs_keeps_means_and_covariances_and_nothing_else():
    before = heavy_tailed(3000, 3072, 2)
    cloned = after(before, "gaussian-clone")
    assert cloned.train.images.dtype == np.uint8
    step = before.scale / cloned.scale
    generator = np.random.default_rng(1)
    chosen = generator.choice(3072, 60, replace=False)
    projections = generator.standard_normal((3072, 40)) / 55
    for label in range(2):
        rows = before.train.labels == label
        assert np.array_equal(before.train.labels, cloned.train.labels)
        old = before.train.images[rows].astype(np.float64)
        new = real(cloned)[rows] + before.mean
        # the sampling error of a mean is σ/√n = 2.6e-2 σ, so the parts are pooled for the claim of 1e-2 below
        error = np.abs(new.mean(axis=0) - old.mean(axis=0)) / old.std(axis=0)
        assert np.sqrt(np.mean(error**2)) < 1.2 * np.sqrt(1 / rows.sum() + step**2 / 12 / old.var())
        count = rows.sum()
        expected = np.cov(old[:, chosen].T, bias=True)
        found = np.cov(new[:, chosen].T, bias=True)
        variances = np.diag(expected)
        # Isserlis: for a Gaussian var(x y) = σx² σy² + cov²
        sampling = np.sqrt((np.outer(variances, variances) + expected**2) / count)
        assert np.abs(found - expected).max() <= np.max(5 * sampling + np.eye(60) * step**2 / 12)
        assert (np.abs(found - expected) <= 5.5 * sampling + np.eye(60) * step**2 / 6).all()
        kurtosis_old = scipy.stats.kurtosis(old @ projections).mean()
        kurtosis_new = scipy.stats.kurtosis(new @ projections).mean()
        assert kurtosis_old > 0.3
        assert abs(kurtosis_new) < 0.05


@pytest.mark.parametrize("count", [40, 400], ids=["weights on samples", "factor"])
def test_both_ways_to_sample_have_the_exact_covariance(count):
    """For 3 features and 400 rows the factor is used, for 40 features the sum over samples: both match A Aᵀ = C."""
    generator = np.random.default_rng(0)
    features = 40 if count == 40 else 3
    images = (generator.standard_normal((count, features)) @ generator.standard_normal((features, features))).astype(
        "f"
    )
    sample = clones.group_sampler(images, np.arange(count))
    drawn = sample(200_000, np.random.default_rng(2)).astype(np.float64)
    expected = np.cov(images.T.astype(np.float64), bias=True)
    variances = np.diag(expected)
    sampling = np.sqrt((np.outer(variances, variances) + expected**2) / 200_000)
    assert (np.abs(np.cov(drawn.T, bias=True) - expected) < 5 * sampling).all()
    assert (np.abs(drawn.mean(axis=0) - images.mean(axis=0)) < 5 * np.sqrt(variances / 200_000)).all()


def test_a_class_mean_of_many_clones_is_the_class_mean_to_a_hundredth_of_a_standard_deviation():
    before = heavy_tailed(60, 200, 2)
    rows = np.flatnonzero(before.train.labels == 1)
    drawn = clones.group_sampler(before.train.images, rows)(200_000, np.random.default_rng(0))
    old = before.train.images[rows].astype(np.float64)
    assert (np.abs(drawn.mean(axis=0) - old.mean(axis=0)) / old.std(axis=0)).max() < 1e-2


def test_pooled_clones_forget_the_classes(original):
    cloned = after(original, "gaussian-clone-pooled")
    old, new = real(original), real(cloned)
    assert np.allclose(new.var(axis=0), old.var(axis=0), rtol=0.35)
    spread_old = np.std([old[original.train.labels == label].mean() for label in range(8)])
    spread_new = np.std([new[cloned.train.labels == label].mean() for label in range(8)])
    assert spread_new < spread_old / 5


def test_clones_of_floats_stay_floats():
    floats = tfimp.data.load(DataConfig(source="nlgp", side=6, train=4000, validation=20, test=20))
    old_kurtosis = scipy.stats.kurtosis(floats.train.images, axis=None)
    cloned = after(floats, "gaussian-clone")
    assert cloned.train.images.dtype == np.float32
    assert cloned.scale == 1
    assert old_kurtosis < -1 < -0.2 < scipy.stats.kurtosis(cloned.train.images, axis=None) < 0.2


def test_phase_scrambling_keeps_every_power_spectrum_and_the_channels_relations(original):
    scrambled = after(original, "phase-scrambled")
    step = original.scale / scrambled.scale
    for part in PARTS:
        old = original.parts[part].images.reshape(-1, 8, 8, 3).astype(np.float64)
        new = scrambled.parts[part].images.reshape(-1, 8, 8, 3) * step
        ours, theirs = np.fft.fft2(new, axes=(1, 2)), np.fft.fft2(old, axes=(1, 2))
        # all frequencies but the first, which holds the grid's offset; rounding adds white noise
        difference = np.abs(np.abs(ours) - np.abs(theirs)).reshape(len(old), -1, 3)[:, 1:]
        assert difference.max() < 7 * step / np.sqrt(12) * 8
        crossed = (ours[..., 0] * ours[..., 1].conj() - theirs[..., 0] * theirs[..., 1].conj()).reshape(len(old), -1)
        size = np.abs(theirs[..., 0] * theirs[..., 1]).reshape(len(old), -1)[:, 1:].max()
        assert np.abs(crossed[:, 1:]).max() < 0.05 * size
        assert np.abs(new - old - (new - old).mean(axis=0)).max() > 20, "the images are not the same"


def test_low_and_high_pass_split_an_image_at_the_frequency(original):
    low, high = after(original, "low-pass:2"), after(original, "high-pass:2")
    steps = [original.scale / low.scale, original.scale / high.scale]
    together = real(low) + real(high)
    assert np.abs(together - real(original)).max() < sum(steps) + 1e-3
    rows, columns = np.meshgrid(np.fft.fftfreq(8) * 8, np.fft.fftfreq(8) * 8, indexing="ij")
    outside = np.hypot(rows, columns) > 2
    for dataset, gone, step in ((low, outside, steps[0]), (high, ~outside, steps[1])):
        images = dataset.train.images.reshape(-1, 8, 8, 3) * step
        power = np.abs(np.fft.fft2(images, axes=(1, 2))) ** 2
        gone = gone & (np.hypot(rows, columns) > 0)
        assert power[:, gone].mean() < 64 * step**2 / 12 * 1.3, "nothing but rounding is left there"


def test_pixel_shuffling_moves_all_images_alike(original):
    shuffled = after(original, "pixel-shuffled")
    old = np.concatenate([original.parts[part].images for part in PARTS]).reshape(-1, 64, 3)
    new = np.concatenate([shuffled.parts[part].images for part in PARTS]).reshape(-1, 64, 3)
    # found from the images alone: where did each position go?
    signature_old, signature_new = old[:, :, 0].astype(int).T, new[:, :, 0].astype(int).T
    goes = [int(np.flatnonzero((signature_new == column).all(axis=1))[0]) for column in signature_old]
    assert sorted(goes) == list(range(64))
    assert goes != list(range(64))
    assert np.array_equal(new[:, goes], old)


def test_shuffled_labels_keep_images_and_counts(original):
    shuffled = after(original, "shuffled-labels")
    for part in PARTS:
        old, new = original.parts[part], shuffled.parts[part]
        assert np.array_equal(old.images, new.images)
        assert np.array_equal(np.bincount(old.labels), np.bincount(new.labels))
        assert np.mean(old.labels == new.labels) < 0.3


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_fraction_is_a_subset_of_the_training_images(original, share):
    part = after(original, f"fraction:{share}")
    assert len(part.train) == round(share * 900)
    everything = {(image.tobytes(), int(label)) for image, label in zip(*_columns(original.train), strict=True)}
    chosen = [(image.tobytes(), int(label)) for image, label in zip(*_columns(part.train), strict=True)]
    assert set(chosen) <= everything
    assert len(chosen) - len(set(chosen)) <= 900 - len(everything)
    assert np.array_equal(part.test.images, original.test.images)


def _columns(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.images, split.labels


def test_modulo_and_class_map_relabel(original, tmp_path):
    file = tmp_path / "classes.dat"
    file.write_text("0,1,0,1,\n2,2,2,0\n")
    merged = after(original, f"class-map:{file}")
    mapping = [0, 1, 0, 1, 2, 2, 2, 0]
    assert merged.test.labels.tolist() == [mapping[label] for label in original.test.labels]
    assert len(merged.class_names) == 3
    file.write_text("0,1,2,3,4,5,6,11")
    assert len(after(original, f"class-map:{file}").class_names) == 12
    assert after(original, "modulo:3").train.labels.tolist() == [label % 3 for label in original.train.labels.tolist()]


def test_a_class_map_can_be_written_out_in_the_condition(original, tmp_path):
    written = ",".join(str(label % 2) for label in range(len(original.class_names)))
    (tmp_path / "map.dat").write_text(written)
    by_file, by_word = (after(original, f"class-map:{text}") for text in (tmp_path / "map.dat", written))
    assert np.array_equal(by_file.train.labels, by_word.train.labels)
    assert by_file.class_names == by_word.class_names


def test_conditions_compose_in_order_and_are_recorded(original):
    both = after(original, "low-pass:2", "modulo:2")
    assert both.name == "photos + low-pass:2 + modulo:2"
    assert after(original, "fraction:0.5", "fraction:0.5").train.images.shape[0] == 225
    loaded = photographs(condition=["low-pass:2", "modulo:2"], seed=0)
    assert loaded.fingerprint == after(original, "low-pass:2", "modulo:2", seed=0).fingerprint


@pytest.mark.parametrize(
    "condition",
    ["gaussian-clone", "gaussian-clone-pooled", "phase-scrambled", "pixel-shuffled", "shuffled-labels", "fraction:0.4"],
)
def test_the_seed_decides(original, condition):
    prints = [after(original, condition, seed=seed).fingerprint for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]
    assert prints[0] != original.fingerprint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gausian-clone", "did you mean 'gaussian-clone'"),
        ("gaussian-clone:3", "takes no argument"),
        ("low-pass", "frequency above 0"),
        ("low-pass:-1", "frequency above 0"),
        ("high-pass:nan", "frequency above 0"),
        ("fraction:0", r"in \(0, 1\]"),
        ("fraction:1.5", r"in \(0, 1\]"),
        ("modulo:2.5", "number of classes"),
        ("modulo:1", "number of classes"),
        ("class-map", "a file of comma-separated integers"),
        ("class-map:", "a file of comma-separated integers"),
    ],
)
def test_wrong_conditions_are_refused_with_the_configuration(text, words):
    with pytest.raises(ConfigError, match=words):
        DataConfig(condition=[text])


def test_conditions_that_the_data_do_not_allow(original, tmp_path):
    with pytest.raises(ConfigError, match="more than 8 classes"):
        after(original, "modulo:8")
    with pytest.raises(DataError, match="cannot read the class map"):
        after(original, f"class-map:{tmp_path / 'none.dat'}")
    for text, words in (("1,2", "2 entries"), ("0,1,x", "'x'"), ("", "an empty file"), ("0,-1", "'-1'")):
        (tmp_path / "map.dat").write_text(text)
        with pytest.raises(DataError, match=words):
            after(original, f"class-map:{tmp_path / 'map.dat'}")
    with pytest.raises(ConfigError, match="leaves nothing"):
        after(original, "fraction:0.0001")
    few = dataclasses.replace(original, train=Split(original.train.images[:1], original.train.labels[:1]))
    with pytest.raises(ConfigError, match="no training images"):
        after(few, "gaussian-clone")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_class_maps_of_any_editor(encoding, ends, original, tmp_path):
    lines = ["# the eight photographs", "", "0, 1 ,0,1,  # the first four", "  0,1", "\t0 1", ""]
    (tmp_path / "map.dat").write_bytes(ends.join(lines).encode(encoding))
    expected = after(original, "class-map:0,1,0,1,0,1,0,1")
    assert np.array_equal(after(original, f"class-map:{tmp_path / 'map.dat'}").train.labels, expected.train.labels)
