"""Training at the price of the surviving weights, on a CPU: the same steps as the dense loop, compiled with Numba."""

from tfimp.training.sparse.engine import SparseEngine as SparseEngine
