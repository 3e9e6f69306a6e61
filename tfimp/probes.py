"""``tfimp.probes``: the formulas (``tfimp.formulas``) under their public name."""

from tfimp.formulas import *  # noqa: F403
from tfimp.formulas import __all__ as __all__
