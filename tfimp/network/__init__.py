"""One description of a network, from which the Keras model and the compiled forward pass are made.

`description` says names, shapes, what can be pruned and how a network starts, `seeds` which stream of random numbers is
whose. `keras` and `forward` need TensorFlow and are imported by those who train.
"""

from tfimp.network.description import Network as Network
from tfimp.network.description import masked_weights as masked_weights
from tfimp.network.description import pruned_layers as pruned_layers
