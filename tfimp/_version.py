"""The version of this tfimp: what a run and its pages say wrote them."""

__version__ = "0.1.0"
