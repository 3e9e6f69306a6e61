"""Prints the documentation of the measures: ``python -m tfimp.catalogue > docs/measures.md``."""

from tfimp.catalogue import documentation

print(documentation(), end="")
