"""The tutorial runs in a kernel as a notebook has it, and shows what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TUTORIAL = Path(__file__).parent.parent / "examples" / "tutorial.ipynb"


def test_the_tutorial_runs_and_shows_progress_a_table_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    (sizes,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    assert sizes.source.startswith("steps, rounds = ")
    sizes.source = "steps, rounds = 40, 3"
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as Jupyter sets it
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    # the list of fonts in somebody's home may be of another installation; a sound one is made before the kernel starts
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True)
    # Kernels are children of this process and inherit neither its filters of warnings nor its folder.
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data for output in outputs if "data" in output]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert any('<progress value="1.0000"' in page for page in pages)
    assert any("<table" in page and "locality" in page for page in pages)
    assert sum("image/png" in data for data in shown) >= 3
    chatter = [output.text for output in outputs if output.get("name") == "stderr"]
    assert chatter == []
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert "of 9216 weights survive" in printed
    assert "report.html" in printed
