from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models import import_checkpoint, load_checkpoint
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.family import PublishedFiles
from ecg_assets.models.imported import ImportedModel
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec

_HERE = f"{__name__}:"
_MODEL = FAMILIES["merl-resnet18"]
FIVE = LabelVocabulary(("a", "b", "c", "d", "e"), ("mean",) * 5)


def recognizes(content: object) -> bool:
    """Tell whether a file is theirs."""
    return isinstance(content, Mapping) and "theirs" in content


def builds(content: object, path: Path, *, n_heads: int = 4) -> ImportedModel:
    """Build a classifier of five labels from nothing."""
    model = _MODEL.classifier_class(_MODEL.build_config("tiny", n_channels=12, n_labels=5))
    report = {"kind": "fine-tuned", "writer": "them", "assumed": [f"{n_heads} heads"]}
    report |= {"mapped": [], "dropped": []}
    warnings = (f"{n_heads} heads",)
    return ImportedModel(_MODEL, path, model, "a model", report, warnings=warnings)


def loads(content: object, path: Path, pretrained: Path | None) -> str:
    """Load as a package did that knows no `builds`."""
    return f"{path.name} from {pretrained}"


def imports(
    path: Path,
    folder: Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> None:
    """Import as a package did that knows no `builds`."""
    folder.mkdir()
    (folder / "meaning.txt").write_text(f"{path.name} {spec} {vocabulary == FIVE}")


def _file(folder: Path, monkeypatch: pytest.MonkeyPatch, **functions: Any) -> Path:
    files = PublishedFiles("'theirs'", f"{_HERE}recognizes", **functions)
    monkeypatch.setitem(FAMILIES, "theirs", replace(_MODEL, title="Theirs", files=files))
    torch.save({"theirs": torch.zeros(1)}, folder / "a.pt")
    return folder / "a.pt"


def test_options_reach_what_builds_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, monkeypatch, builds=f"{_HERE}builds")
    folder = import_checkpoint(path, tmp_path / "folder", vocabulary=FIVE, n_heads=3)
    report = read_json(folder / "import_report.json")
    assert report["assumed"] == ["3 heads"] and report["label_vocabulary"] == "given"
    with pytest.raises(TypeError, match=r"Theirs takes no depth, but spec, vocabulary, n_heads\."):
        import_checkpoint(path, tmp_path / "other", depth=3)
    assert not (tmp_path / "other").exists()


def test_what_a_loaded_file_does_not_tell_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = _file(tmp_path, monkeypatch, builds=f"{_HERE}builds")
    with caplog.at_level(logging.WARNING):
        assert isinstance(load_checkpoint(path), _MODEL.classifier_class)
    assert f"{path}: assumed 4 heads" in caplog.text


def test_a_deployments_spec_is_taken_where_its_channels_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, monkeypatch, builds=f"{_HERE}builds")
    family = FAMILIES["theirs"]
    twelve, one = (family.signal_spec(leads) for leads in (STANDARD_LEADS, ("I",)))
    assert family.fit_meaning({}, path, twelve, FIVE) == (twelve, None)
    assert family.fit_meaning({}, path, one, FIVE) == (None, None)
    assert family.fit_meaning({}, path, replace(twelve, sample_rate_hz=100), FIVE) == (None, None)


def test_families_that_load_and_import_themselves_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = {"loads": f"{_HERE}loads", "imports": f"{_HERE}imports"}
    path = _file(tmp_path, monkeypatch, **functions)
    found: Any = load_checkpoint(path, pretrained="b.pt")
    assert found == "a.pt from b.pt"
    folder = import_checkpoint(path, tmp_path / "folder", vocabulary=FIVE)
    assert (folder / "meaning.txt").read_text() == "a.pt None True"
    with pytest.raises(TypeError, match=r"takes no n_heads, but spec, vocabulary\."):
        import_checkpoint(path, tmp_path / "other", n_heads=3)
    family = FAMILIES["theirs"]
    assert family.fit_meaning({}, path, family.signal_spec(("I",)), FIVE) == (None, None)
    with pytest.raises(ValueError, match="Nothing builds the model of a file with 'theirs'"):
        PublishedFiles("'theirs'", f"{_HERE}recognizes", loads=f"{_HERE}loads")


def test_every_family_names_what_its_import_takes() -> None:
    own = {name: family.import_options()[2:] for name, family in FAMILIES.items() if family.files}
    assert {name: options for name, options in own.items() if options} == {
        "deepecg-ssl": ("pretrained",),
        "ecg_fm": ("pretrained",),
        "ecg-jepa": ("n_heads",),
        "st-mem": ("n_heads",),
    }
