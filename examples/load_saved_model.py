"""Use 2, an exported network: any program with TensorFlow loads it; neither tfimp nor Keras is needed.

    python examples/load_saved_model.py [FOLDER]

Within tfimp, ``tfimp.load_saved_model(folder)`` does the same and checks the files against their checksums.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import skimage
import tensorflow as tf

networks = Path(__file__).parent.parent / "saved_models" / "photos-example"
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else sorted(networks.iterdir())[-1]
ticket = json.loads((folder / "ticket.json").read_text())
size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "ticket.json")
print(f"{folder.name}: density {ticket['density']:.4f}, test accuracy {ticket['test_accuracy']:.3f}, {size:,} bytes")

# Raw pixels go in, flattened as (height, width, channel); the normalisation is part of the network.
height, width, _ = ticket["image_shape"]
photograph = skimage.data.coffee()[::2, ::2]
corners = [(y, x) for y in range(0, 200 - height, height) for x in range(0, 300 - width, width)]
patches = np.stack([photograph[y : y + height, x : x + width].reshape(-1) for y, x in corners])

classify = tf.saved_model.load(str(folder)).signatures["serving_default"]
outputs = classify(images=tf.constant(patches))
names = np.array(ticket["class_names"])[outputs["logits"].numpy().argmax(axis=1)]
for name, count in zip(*np.unique(names, return_counts=True), strict=True):
    print(f"{count:4d} of {len(patches)} patches of the coffee photograph are called {name}")
