"""What a person sees of a run: the table of rounds, how fast it goes, and live displays for terminals and notebooks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Literal

from tfimp.display.terminal import Display, PlainDisplay, choose_display

__all__ = ["Display", "choose_display", "in_notebook", "shown"]


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


@contextlib.contextmanager
def shown(progress: Literal["auto"] | bool | None = "auto") -> Iterator[Display]:
    """A display for the events of a run: live in terminals and notebooks, and elsewhere silent unless ``progress``."""
    display = Display()  # a program that runs runs, with its output elsewhere
    if progress and in_notebook():
        from tfimp.display.notebook import NotebookDisplay

        display = NotebookDisplay()
    elif progress:
        display = choose_display()
        if progress == "auto" and isinstance(display, PlainDisplay):
            display = Display()
    try:
        yield display
    finally:
        display.close()
