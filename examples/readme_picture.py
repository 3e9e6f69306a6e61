"""The picture at the top of the README: units on non-Gaussian inputs and on their Gaussian twin, as weights go.

tfimp run --preset nlgp --seed 3 --out runs/nlgp
tfimp run --preset nlgp-gaussian --seed 3 --out runs/nlgp-gaussian
python examples/readme_picture.py runs/nlgp runs/nlgp-gaussian docs/receptive-fields.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import tfimp
from tfimp import plots
from tfimp.plots.fields import fields_side_by_side
from tfimp.plots.style import Layout, laid_out, styled

ROUNDS = (0, 5, 8)

nlgp, gaussian, out = sys.argv[1:]
with styled(), laid_out(Layout(width=9.0, title=False)):
    runs = {"NLGP": tfimp.open_run(nlgp), "Gaussian twin": tfimp.open_run(gaussian)}
    figure = fields_side_by_side(runs, ROUNDS, across=6, down=3)  # room for all sixteen units
plots.save(figure, Path(out).parent, Path(out).name)
