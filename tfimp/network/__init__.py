"""One description of a network, from which the Keras model and the compiled forward pass are made.

`description` says names, shapes, what can be pruned and how a network starts; `activations` and `seeds` are the tables
that every reader of a network shares. `keras` and `forward` need TensorFlow and are imported by those who train.
"""

from tfimp.network.architecture import Layer as Layer
from tfimp.network.architecture import output_shapes as output_shapes
from tfimp.network.architecture import parse_arch as parse_arch
from tfimp.network.description import INITIALIZERS as INITIALIZERS
from tfimp.network.description import Network as Network
from tfimp.network.description import masked_weights as masked_weights
from tfimp.network.description import pruned_layers as pruned_layers
