"""A training step beside JAX with masked dense kernels and PyTorch with sparse ones (needs the extra `bench`).

    python -m benchmarks rivals     (not among those that run without names)

The same network, 3072-1024-1024-10 with batch-norm on each layer's input, ReLU and plain SGD, on the same uint8 images
with the same random masks. JAX: one compiled loop of steps, kernels times masks. PyTorch: compressed sparse rows, the
backward pass written by hand (gradients at the survivors alone, by `sampled_addmm`), batch-norm by its own kernel. All
take turns; before that, the mean loss of the first steps of each is held to that of tfimp. There are no bars: how fast
others are is not tfimp's to promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import interleaved
from benchmarks.subject import RATE

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
CHECKED = 5
"""Steps whose mean loss is compared, from one start."""

Kernels = list[np.ndarray]
Masks = list[tuple[np.ndarray, ...]]
"""Of each layer's kernel and bias."""


def measure(repetitions: int = 7) -> dict[str, Any]:
    """Milliseconds per step and times tfimp's, by batch size and density, and the largest difference of losses."""
    return {f"batch_{batch_size}": _at(batch_size, repetitions) for batch_size in (40, 1000)}


def _at(batch_size: int, repetitions: int) -> dict[str, Any]:
    from benchmarks import subject
    from tfimp.pruning.core import rewound
    from tfimp.training.batches import block_indices
    from tfimp.training.sparse import SparseEngine

    data = subject.dataset()
    lab = subject.laboratory(batch_size, data)
    start, order = lab.dense.state(), block_indices(0, 0, 0, batch_size, len(data.train))
    images = data.normalise(data.train.images)
    names = [name for name in start if start[name].ndim == 2]
    count, found = (5 if batch_size == 40 else 1), {}
    for density in DENSITIES:
        masks = subject.masks_at(lab, density) if density < 1 else lab.full_masks()
        begin = rewound(start, masks)
        ours = lab.dense
        if density < 1:
            ours = SparseEngine(lab.network, data, lab.config.train, seed=lab.config.seed, total_steps=lab.last_step)
        ours.load(begin, masks)
        kernels = [np.array(begin[name]) for name in names]
        pairs = [(name, name.replace("kernel", "bias")) for name in names]  # the last layer has no masks
        kept = [tuple(masks.get(part, np.ones(begin[part].shape, bool)) for part in pair) for pair in pairs]
        tasks: dict[str, Callable[[int], float]] = {
            "tfimp": lambda steps, engine=ours: engine.steps(order, 0, steps) / steps,
            "jax": in_jax(images, data.train.labels, order, kernels, kept),
            "torch": in_torch(images, data.train.labels, order, kernels, kept),
        }
        losses = {name: task(CHECKED) for name, task in tasks.items()}
        times = interleaved({name: lambda task=task: task(count) for name, task in tasks.items()}, repetitions, 6)
        others = [name for name in tasks if name != "tfimp"]
        found[f"{density:g}"] = {
            "ms_per_step": {name: times.median(name) / count * 1e3 for name in tasks},
            "times_tfimp": {name: times.ratio(name, "tfimp") for name in others},
            "difference_of_losses": {name: abs(losses[name] - losses["tfimp"]) for name in others},
        }
    return found


def in_jax(images: np.ndarray, labels: np.ndarray, batches: np.ndarray, kernels: Kernels, masks: Masks) -> Any:
    """Steps of a network of masked dense kernels; a call takes so many and returns their mean loss."""
    import jax
    import jax.numpy as jnp

    drawn, kept = jnp.array(batches), [[jnp.array(part, jnp.float32) for part in pair] for pair in masks]
    images, labels = jnp.array(images), jnp.array(labels)
    state = [(jnp.array(k), jnp.zeros(k.shape[1]), jnp.ones(k.shape[0]), jnp.zeros(k.shape[0])) for k in kernels]

    def loss_of(state: Any, batch: Any) -> Any:
        h = images[batch]
        for index, ((kernel, bias, gamma, beta), (mask, of_bias)) in enumerate(zip(state, kept, strict=True)):
            h = h if index == 0 else jax.nn.relu(h)
            h = gamma * (h - h.mean(0)) * jax.lax.rsqrt(h.var(0) + 1e-10) + beta
            h = h @ (kernel * mask) + bias * of_bias
        return -jnp.take_along_axis(jax.nn.log_softmax(h), labels[batch][:, None], 1).mean()

    def step(index: Any, carried: Any) -> Any:
        state, total = carried
        loss, gradients = jax.value_and_grad(loss_of)(state, drawn[index % len(drawn)])
        return jax.tree.map(lambda value, gradient: value - RATE * gradient, state, gradients), total + loss

    loop = jax.jit(lambda state, count: jax.lax.fori_loop(0, count, step, (state, 0.0)), donate_argnums=0)

    def steps(count: int) -> float:
        nonlocal state
        state, total = loop(state, count)
        return float(total) / count

    return steps


def in_torch(images: np.ndarray, labels: np.ndarray, batches: np.ndarray, kernels: Kernels, masks: Masks) -> Any:
    """Steps of a network of sparse rows; a call takes so many and returns their mean loss."""
    import warnings

    import torch

    warnings.filterwarnings("ignore", "Sparse (CSR|invariant)")  # a beta of PyTorch's, which its users know
    images, classes = torch.from_numpy(images), torch.from_numpy(labels).long()

    class Product(torch.autograd.Function):
        """x (batch, fan_in) times a kernel of ``fan_in`` columns and ``units`` rows, both ways."""

        @staticmethod
        def forward(context: Any, x: Any, values: Any, forth: Any, back: Any, turned: Any) -> Any:
            context.save_for_backward(x, values)
            context.places = forth, back, turned
            return (_rows(forth, values) @ x.T).T

        @staticmethod
        def backward(context: Any, upstream: Any) -> Any:
            x, values = context.saved_tensors
            forth, back, turned = context.places
            zeros = _rows(forth, torch.zeros_like(values))
            at_survivors = torch.sparse.sampled_addmm(zeros, upstream.T.contiguous(), x, beta=0.0).values()
            first = not context.needs_input_grad[0]
            return None if first else (_rows(back, values[turned]) @ upstream.T).T, at_survivors, None, None, None

    def _rows(places: Any, values: Any) -> Any:
        rows, columns, shape = places
        return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)

    def places(mask: Any) -> Any:
        found = torch.from_numpy(np.ascontiguousarray(mask)).float().to_sparse_csr()
        return found.crow_indices(), found.col_indices(), tuple(mask.shape)

    layers = []
    for kernel, (mask, of_bias) in zip(kernels, masks, strict=True):
        forth, back = places(mask.T), places(mask)
        order = np.zeros(mask.shape, np.int64)
        order.T[mask.T] = np.arange(mask.sum())  # where a survivor stands among those in order of units
        values = torch.tensor(kernel.T[mask.T], requires_grad=True)
        fan_in, units = mask.shape
        rest = [torch.zeros(units), torch.ones(fan_in), torch.zeros(fan_in)]
        layers.append(
            (
                values,
                *(part.requires_grad_() for part in rest),
                forth,
                back,
                torch.from_numpy(order[mask]),
                torch.from_numpy(of_bias).float(),
            )
        )
    trained = [part for layer in layers for part in layer[:4]]
    taken = 0

    def steps(count: int) -> float:
        nonlocal taken
        total = 0.0
        for _ in range(count):
            batch = torch.from_numpy(batches[taken % len(batches)].astype(np.int64))
            taken, h = taken + 1, images[batch]
            for index, (values, bias, gamma, beta, forth, back, turned, of_bias) in enumerate(layers):
                h = torch.relu(h) if index else h
                h = torch.nn.functional.batch_norm(h, None, None, gamma, beta, training=True, eps=1e-10)
                h = Product.apply(h, values, forth, back, turned) + bias * of_bias
            loss = torch.nn.functional.cross_entropy(h, classes[batch])
            gradients = torch.autograd.grad(loss, trained)
            with torch.no_grad():
                for part, gradient in zip(trained, gradients, strict=True):
                    part -= RATE * gradient
            total += float(loss.detach())
        return total / count

    return steps
