"""Commands on run folders from strangers: a line and a code, and nothing is written outside the run."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_helpers import put_arrays
from strangers import Call, change_document

from tfimp.config import RunConfig
from tfimp.store.arrays import pack_arrays, pack_masks, unpack_arrays, unpack_masks
from tfimp.store.files import sha256
from tfimp.store.run import open_run

FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@FUZZ
@given(data=st.data())
def test_arrays_that_do_not_fit_together(
    fresh: Callable[[], Path], call: Call, tally: Callable[[str], None], data: st.DataObject
) -> None:
    path = fresh()
    for _ in range(data.draw(st.integers(1, 2))):
        index, kind = data.draw(st.sampled_from([0, 1, 2])), data.draw(st.sampled_from(["weights", "probes", "masks"]))
        content = (path / "rounds" / f"{index:02d}" / f"{kind}.safetensors").read_bytes()
        arrays = dict((unpack_masks if kind == "masks" else unpack_arrays)(content, "here"))
        name = data.draw(st.sampled_from(sorted(arrays)))
        shape = data.draw(st.lists(st.integers(0, 20), max_size=4))
        value = data.draw(st.sampled_from([0.0, -1, np.nan, np.inf, 1e300, 2**62]))
        if data.draw(st.booleans()):
            del arrays[name]
        else:
            arrays[name] = np.full(shape, bool(value) if kind == "masks" else value)
        put_arrays(path, index, kind, pack_masks(arrays) if kind == "masks" else pack_arrays(arrays))
    figures = data.draw(st.sampled_from(["receptive-field-masks", "cavity", "accuracy", "connectivity", "locality"]))
    for command in (["show", path], ["show", path, "--json"], ["verify", path], ["plot", path, "--figure", figures]):
        assert call(*command)[0] in (0, 1, 2)
    tally("run folders")


@FUZZ
@given(data=st.data())
def test_numbers_that_do_not_fit_together(
    fresh: Callable[[], Path], call: Call, tally: Callable[[str], None], data: st.DataObject
) -> None:
    path = fresh()
    number = st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)

    def spoil(document: dict[str, Any]) -> None:
        places = [document, *document["layers"].values()] if "layers" in document else [document, document["data"]]
        place = data.draw(st.sampled_from(places))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(
            number | st.just({}) | st.just([]) | st.sampled_from(["<b>", "../x", "x" * 1000, "\x1b[31m"])
        )

    change_document(path, data.draw(st.sampled_from(["run.json", "rounds/00/metrics.json"])), spoil)
    for command in (["show", path], ["show", path, "--json"], ["verify", path], ["plot", path, "--figure", "accuracy"]):
        assert call(*command)[0] in (0, 1, 2)
    tally("run folders")


def test_a_report_of_arrays_that_do_not_fit_says_what_is_wrong(fresh: Callable[[], Path], call: Call) -> None:
    path = fresh()
    masks = dict(unpack_masks((path / "rounds" / "02" / "masks.safetensors").read_bytes(), "here"))
    put_arrays(path, 2, "masks", pack_masks({**masks, "dense_0/kernel": np.ones((3, 3), bool)}))
    code, said = call("report", path)
    assert code == 2
    assert "is not sound: round" in said
    assert "tfimp verify" in said


@pytest.mark.parametrize("header", [2**62, 2**40, 2**20, 0])
def test_a_header_of_any_claimed_size(header: int, fresh: Callable[[], Path], call: Call) -> None:
    path = fresh()
    content = (path / "rounds" / "00" / "weights.safetensors").read_bytes()
    put_arrays(path, 0, "weights", struct.pack("<Q", header) + content[8:])
    code, said = call("verify", path)
    assert code == 1
    assert "does not hold arrays as tfimp writes them" in said


@pytest.mark.parametrize("shape", [[10**12], [2**62, 4], [-1, 2], [0]])
def test_arrays_of_any_claimed_size(shape: list[int], fresh: Callable[[], Path], call: Call) -> None:
    path = fresh()
    header = {"x/y": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}, "__metadata__": {"names": '["x/y"]'}}
    text = json.dumps(header).encode()
    put_arrays(path, 0, "weights", struct.pack("<Q", len(text)) + text + bytes(8))
    assert call("verify", path)[0] == 1


def test_an_image_that_would_fill_the_memory_is_refused(fresh: Callable[[], Path], call: Call) -> None:
    path = fresh()
    change_document(path, "run.json", lambda document: document["data"].update(image_shape=[65535, 65535, 3]))
    code, said = call("plot", path, "--figure", "displacements")
    assert code == 2
    assert "image_shape" in said


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("figures", ["plot", "--figure", "accuracy"]),
        ("figures/accuracy.png", ["plot", "--figure", "accuracy"]),
        ("figures/receptive-fields.gif", ["plot", "--figure", "accuracy", "--animation"]),
    ],
)
def test_links_in_a_run_lead_no_figure_out_of_it(
    name: str, command: list[str], fresh: Callable[[], Path], call: Call
) -> None:
    path = fresh()
    (path / name).parent.mkdir(exist_ok=True)
    outside = path.absolute().parent / "outside"
    (path / name).symlink_to(outside if name == "figures" else outside / "secret")
    code, said = call(command[0], path, *command[1:])
    assert code == 2
    assert "is a link" in said


def test_a_report_does_not_replace_a_link(
    fresh: Callable[[], Path], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfimp.report.render", lambda runs, **_: "a page")
    path = fresh()
    (path / "report.html").symlink_to(path.absolute().parent / "outside" / "secret")
    code, said = call("report", path)
    assert code == 2
    assert "is a link" in said


@pytest.mark.parametrize("folder", ["/tmp/elsewhere", "../outside"])
def test_a_run_cannot_say_where_on_this_machine_its_networks_go(
    folder: str, fresh: Callable[[], Path], call: Call
) -> None:
    path = fresh()
    settings = {**open_run(path).config.to_dict(), "export": {"dir": folder}}
    text = RunConfig.from_dict(settings).to_toml()
    (path / "config.toml").write_text(text)
    change_document(path, "run.json", lambda document: document.update(config_sha256=sha256(text.encode())))
    code, said = call("export", path)
    assert code == 2
    assert "name it by --out" in said
