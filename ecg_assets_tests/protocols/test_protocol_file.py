"""A protocol's file: what it may hold, what it takes from another, and who may bring one."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.metrics.published_intervals import Resampling, Unit
from ecg_assets.protocols import protocol as module
from ecg_assets.protocols.protocol import Protocol, ProtocolCell, load_protocol
from ecg_assets_tests.protocols.made_cells import make_protocol

BASE = """
title: Base
reference: nobody
tasks:
  one: {title: One, source: ptb-xl, label_set: ptb-xl-super-drop}
  two: {title: Two, source: ptb-xl, label_set: ptb-xl-sub-drop}
models:
  a: {preset: tiny, published_as: A, saw: [two]}
  b: {preset: tiny, from_scratch: true}
modes:
  full: {method: full}
as_published:
  deviations: [{models: [a], tasks: [two], what: Otherwise.}]
published:
  - {task: one, model: A, mode: full, value: 0.9}
"""


def _write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _published(*numbers: str) -> str:
    cells = (f"{{task: one, model: A, mode: full, {number}}}" for number in numbers)
    return f"published: [{', '.join(cells)}]"


def test_a_file_like_another_says_only_what_is_its_own(tmp_path: Path) -> None:
    _write(tmp_path, "base.yaml", BASE)
    own = "like: base.yaml\nmodels:\n  a: {checkpoint: /w.pt}\ntasks:\n  one:\nseeds: [1, 2]\n"
    protocol = load_protocol(_write(tmp_path, "mine.yaml", own))
    assert (protocol.name, protocol.title) == ("mine", "Base")
    assert list(protocol.models) == ["a"]
    assert protocol.models["a"].checkpoint == "/w.pt"
    assert protocol.models["a"].published_as == "A"
    # What names a task that it does not have is left out.
    assert protocol.models["a"].saw == ()
    assert protocol.as_published.deviations == ()
    assert protocol.cells == [ProtocolCell("a", "full", "one", seed) for seed in (1, 2)]
    published = protocol.published_of(protocol.cells[0])
    assert published is not None and published.value == 0.9


def test_a_changed_field_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    """Fewer epochs are no other learning rate, and fewer resamples no other signals."""
    base = BASE.replace("{method: full}", "{method: full, changes: {epochs: 9, batch_size: 3}}")
    _write(
        tmp_path,
        "base.yaml",
        base.replace("as_published:\n", "as_published:\n  signal: {filter: none}\n"),
    )
    own = "like: base.yaml\nmodes:\n  full: {changes: {epochs: 1}}\n"
    own += "as_published: {interval: {n_resamples: 7}}\n"
    protocol = load_protocol(_write(tmp_path, "mine.yaml", own))
    assert protocol.modes["full"].changes == {"epochs": 1, "batch_size": 3}
    assert protocol.as_published.interval == Resampling(Unit.RECORDING, 7)
    assert protocol.as_published.signal == {"filter": "none"}
    assert [one.what for one in protocol.as_published.deviations] == ["Otherwise."]


def test_a_model_of_none_of_the_modes_is_in_no_cell(tmp_path: Path) -> None:
    """Its list of modes is empty then, which would be all of them."""
    base = BASE.replace("from_scratch: true}", "from_scratch: true, modes: [full]}")
    _write(tmp_path, "base.yaml", base)
    own = "like: base.yaml\nmodes:\n  linear: {method: linear-probe}\n"
    protocol = load_protocol(_write(tmp_path, "mine.yaml", own))
    assert {cell.row for cell in protocol.cells} == {"a/linear"}
    path = _write(tmp_path, "named.yaml", own + "models:\n  a:\n  b:\n")
    with pytest.raises(SettingsError, match=r"models.b.modes names \['full'\]"):
        load_protocol(path)


def test_a_name_that_the_file_itself_got_wrong_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "base.yaml", BASE)
    path = _write(tmp_path, "mine.yaml", "like: base.yaml\nmodels:\n  a: {saw: [tow]}\n")
    with pytest.raises(SettingsError, match=r"models.a.saw names \['tow'\]"):
        load_protocol(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("likes: x", "'likes' is no field of Protocol"),
        ("seeds: [1, 1]", "seeds are [1, 1]; expected distinct numbers"),
        ("seeds: [-1]", "seeds are [-1]; expected distinct numbers from 0"),
        ("name: ../elsewhere", "['../elsewhere'] cannot name partitions and files"),
        ("n_resamples: 70000", "n_resamples is 70000"),
        (_published("value: 92.5"), "value is 92.5"),
        (_published("value: 0.9, low: 0.95, high: 0.8"), "the interval 0.95 to 0.8"),
        (_published("value: 0.9, low: 0.8"), "the interval 0.8 to None"),
        (_published("value: 0.9", "value: 0.8"), "more than once"),
        ("like: nothing", "is 'nothing', which is neither one of"),
        ("like: mine.yaml", "like: mine.yaml leads back to the file itself"),
        ("published: nothing.csv", "published is 'nothing.csv'; expected cells, or one of"),
        ("models: {a/b: {preset: tiny}}", "['a/b'] cannot name partitions and files"),
        (
            "models: {a: {preset: tiny, checkpoint: x, from_scratch: true}}",
            "models.a has a checkpoint, and is from_scratch",
        ),
        ("models: {a: {preset: tiny, saw: [nix]}}", "models.a.saw names ['nix']"),
        ("modes: {full: {method: nix}}", "full"),
    ],
)
def test_a_fault_is_said_with_its_place(tmp_path: Path, change: str, said: str) -> None:
    key = change.split(":", maxsplit=1)[0]
    kept = "\n".join(
        part for part in re.split(r"\n(?=\w)", BASE.strip()) if not part.startswith(f"{key}:")
    )
    path = _write(tmp_path, "mine.yaml", f"{kept}\n{change}\n")
    with pytest.raises(SettingsError, match=re.escape(said)) as found:
        load_protocol(path)
    assert "ECG_PROTOCOL" not in str(found.value)


def test_half_for_an_undefined_label_is_for_an_auroc_alone() -> None:
    task = {"title": "S", "source": "ptb-xl", "label_set": "ptb-xl-super-drop"}
    with pytest.raises(ValueError, match="need redraw or undefined"):
        make_protocol(
            tasks={"super": {**task, "metric": "macro_auprc"}},
            models={"a": {"preset": "tiny"}},
            as_published={"interval": {"unit": "recording", "undefined": "half"}},
        )


def test_another_package_brings_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(_write(tmp_path, "base.yaml", BASE))
    entry = EntryPoint("theirs", "somewhere:find", module.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: lambda: path)

    def entry_points(group: str) -> list[Any]:
        return [entry] if group == module.GROUP else []

    monkeypatch.setattr("ecg_assets.entry_points.entry_points", entry_points)
    module._brought.cache_clear()
    protocol: Protocol = load_protocol("theirs")
    assert protocol.title == "Base"
    monkeypatch.undo()
    module._brought.cache_clear()
    with pytest.raises(SettingsError, match="neither one of"):
        load_protocol("theirs")
