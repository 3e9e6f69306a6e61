"""Pruning inside Keras models, for tf_keras and for Keras 3: wrappers, the callback, reports."""
