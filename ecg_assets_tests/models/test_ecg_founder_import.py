from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.labels.label_set import load_label_set
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models import export_fairseq, imported_folder, load_checkpoint, load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.ecg_founder.family import SIZES
from ecg_assets.models.ecg_founder.file import ecg_founder_labels, import_ecg_founder
from ecg_assets.models.ecg_founder.net1d import EcgFounder, net1d_config_of
from ecg_assets.preprocess import STANDARD_LEADS, signal_spec_of_kind
from ecg_assets_tests.models.golden_net1d import golden_folder, tiny_founder, write_founder

TWO = LabelVocabulary(("a", "b"), ("mean", "mean"))


@torch.inference_mode()
@pytest.mark.parametrize(("n_channels", "leads"), [(12, STANDARD_LEADS), (1, ("I",))])
def test_a_published_file_becomes_a_checkpoint_that_says_what_it_reads(
    n_channels: int, leads: tuple[str, ...], tmp_path: Path
) -> None:
    model = tiny_founder(n_channels, n_labels=150)
    # numpy's numbers and an optimizer's state stand in the published files.
    path = write_founder(
        tmp_path / "a.pth", model, val_auroc=np.float64(0.9), optimizer={"state": torch.ones(3)}
    )
    folder = import_ecg_founder(path, tmp_path / "folder")
    trained = load_trained(folder)
    assert trained.spec == signal_spec_of_kind("ecg-founder", leads=leads)
    assert trained.vocabulary == ecg_founder_labels()
    assert read_json(folder / "config.json")["model_type"] == "ecg-founder"
    signal = torch.randn(2, n_channels, 1001)
    expected = model(signal).logits
    for other in (trained.model, load_checkpoint(path), load_checkpoint(folder)):
        assert other(signal).logits.equal(expected)
    report = read_json(folder / "import_report.json")
    assert [entry["to"] for entry in report["mapped"]] == list(model.state_dict())
    assert report["signal_spec"] == "assumed to be ECGFounder's"
    assert "batch norms do not run" in report["assumed"][0]
    assert "Harvard-Emory" in (folder / "README.md").read_text()


def test_the_architecture_is_read_off_the_weights(tmp_path: Path) -> None:
    path = write_founder(tmp_path / "a.pth", tiny_founder(n_channels=3, n_labels=5))
    found = load_checkpoint(path).config
    expected = tiny_founder(n_channels=3, n_labels=5).config
    names = ("n_channels", "num_labels", "base_filters", "kernel_size", "groups_width", "ratio")
    assert [getattr(found, name) for name in names] == [getattr(expected, name) for name in names]
    assert tuple(found.filter_list) == tuple(expected.filter_list)
    assert tuple(found.m_blocks_list) == tuple(expected.m_blocks_list)


def _founder_of_groups(groups_width: int) -> EcgFounder:
    """A model whose first stage, of 24 features, is not divided by a width of 16."""
    shape = {**SIZES["tiny"], "groups_width": groups_width}
    widths = (24, *shape["filter_list"][1:])
    config = net1d_config_of({**shape, "filter_list": widths}, n_channels=1, n_labels=2)
    torch.manual_seed(0)
    return EcgFounder(config).eval()


@torch.inference_mode()
def test_a_group_width_that_leaves_a_rest_in_the_first_stage_is_found(tmp_path: Path) -> None:
    model = _founder_of_groups(16)
    first = model.state_dict()["stage_list.0.block_list.0.conv2.conv.weight"]
    assert first.shape[:2] == (24, 24)  # one group
    loaded = load_checkpoint(write_founder(tmp_path / "a.pth", model))
    assert loaded.config.groups_width == 16
    signal = torch.randn(2, 1, 1001)
    assert loaded(signal).logits.equal(model(signal).logits)


def test_stages_of_no_common_group_width_are_refused(tmp_path: Path) -> None:
    model = _founder_of_groups(16)
    state = model.state_dict()
    narrow = _founder_of_groups(4).state_dict()
    name = "stage_list.1.block_list.0.conv2.conv.weight"
    state[name] = narrow[name]
    path = tmp_path / "a.pth"
    torch.save({"state_dict": state}, path)
    with pytest.raises(CheckpointError, match="no groups_width fits all stages, which have 24 fea"):
        load_checkpoint(path)


@torch.inference_mode()
@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
@pytest.mark.parametrize("below", ["state_dict", ""], ids=["below a name", "at the top"])
def test_names_of_wrappers_are_taken_off(tmp_path: Path, wrapper: str, below: str) -> None:
    """As DataParallel, torch.compile and a module around the model save it."""
    model = tiny_founder(n_channels=1, n_labels=5)
    weights = {wrapper + name: value for name, value in model.state_dict().items()}
    torch.save({below: weights} if below else weights, tmp_path / "a.pth")
    signal = torch.randn(1, 1, 1001)
    assert load_checkpoint(tmp_path / "a.pth")(signal).logits.equal(model(signal).logits)


@torch.inference_mode()
def test_names_of_labels_beside_the_weights_are_no_code(tmp_path: Path) -> None:
    model = tiny_founder(n_channels=1, n_labels=2)
    path = write_founder(tmp_path / "a.pth", model, label_names=np.array(["NORM", "AFIB"]))
    signal = torch.randn(1, 1, 1001)
    assert load_checkpoint(path)(signal).logits.equal(model(signal).logits)


def test_a_refusal_does_not_pass_on_advice_to_load_the_file_all_the_same(tmp_path: Path) -> None:
    model = tiny_founder(n_channels=1, n_labels=2)
    path = write_founder(tmp_path / "a.pth", model, names=np.array(["a", None], dtype=object))
    with pytest.raises(UnsafeCheckpoint) as refused:
        load_checkpoint(path)
    assert "weights_only" not in str(refused.value) and "Re-running" not in str(refused.value)


@pytest.mark.reference
def test_the_statements_are_the_originals(reference_data: Path) -> None:
    text = (golden_folder(reference_data) / "tasks_150.txt").read_text()
    assert list(ecg_founder_labels().names) == text.splitlines()


@torch.inference_mode()
def test_the_six_conditions_are_read_off_the_150_outputs(tmp_path: Path) -> None:
    model = tiny_founder(n_labels=150)
    path = write_founder(tmp_path / "a.pth", model)
    six = load_label_set("six-conditions").vocabulary
    folder = import_ecg_founder(path, tmp_path / "folder", vocabulary=six)
    signal = torch.randn(2, 1, 1000)
    found = load_trained(folder)
    assert found.vocabulary == six
    at = [1, 5, 32, 79, 11, 20]
    torch.testing.assert_close(found.model(signal).logits, model(signal).logits[:, at])
    outputs = read_json(folder / "import_report.json")["outputs"]
    assert outputs["1dAVb"] == "WITH 1ST DEGREE AV BLOCK"


class _Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("attacked",)


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_founder(tmp_path / "a.pth", tiny_founder(), scheduler=_Attack())
    for read in (load_checkpoint, lambda file: import_ecg_founder(file, tmp_path / "folder")):
        with pytest.raises(UnsafeCheckpoint, match="mkdir"):
            read(path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dense.bias", "lacks dense.bias"),
        ("stage_list.1.block_list.0.se_fc1.weight", "se_fc1"),
        ("stage_list.1.block_list.0.conv3.conv.weight", "not in the shapes of a Net1D"),
        ("first_bn.running_mean", "first_bn"),
        ("first_conv.conv.weight", "no checkpoint"),
    ],
)
def test_a_lacking_weight_is_named(name: str, message: str, tmp_path: Path) -> None:
    state = tiny_founder().state_dict()
    del state[name]
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        import_ecg_founder(tmp_path / "a.pth", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_weight_too_many_and_a_flat_weight_are_refused(tmp_path: Path) -> None:
    state = tiny_founder().state_dict()
    torch.save({"state_dict": {**state, "second_conv.bias": torch.ones(1)}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"second_conv\.bias"):
        load_checkpoint(tmp_path / "a.pth")
    torch.save({"state_dict": {**state, "first_conv.conv.weight": torch.ones(3)}}, tmp_path / "b")
    with pytest.raises(CheckpointError, match="not in the shapes of a Net1D"):
        load_checkpoint(tmp_path / "b")


def test_other_leads_than_the_models_are_refused_with_what_to_do(tmp_path: Path) -> None:
    one = write_founder(tmp_path / "a.pth", tiny_founder(1, n_labels=150))
    spec = signal_spec_of_kind("ecg-founder", leads=STANDARD_LEADS)
    with pytest.raises(CheckpointError, match=r"reads 1 leads.*12_lead_ECGFounder\.pth"):
        import_ecg_founder(one, tmp_path / "folder", spec=spec)
    twelve = write_founder(tmp_path / "b.pth", tiny_founder(12, n_labels=150))
    # Lead I repeated twelve times is ECG-FM's custom; ECGFounder has a file of its own for it.
    with pytest.raises(CheckpointError, match="ECG_LEADS=all for twelve"):
        import_ecg_founder(twelve, tmp_path / "folder", spec=signal_spec_of_kind("ecg-fm"))


def test_labels_must_be_as_many_as_outputs(tmp_path: Path) -> None:
    path = write_founder(tmp_path / "a.pth", tiny_founder(n_labels=3))
    with pytest.raises(CheckpointError, match="3 outputs, its vocabulary 2 labels"):
        import_ecg_founder(path, tmp_path / "folder", vocabulary=TWO)
    folder = import_ecg_founder(path, tmp_path / "folder")
    assert not (folder / "label_vocabulary.json").exists()


def test_a_finetuned_file_and_bare_weights_are_read(tmp_path: Path) -> None:
    model = tiny_founder()
    torch.save({"model_state_dict": model.state_dict(), "class_names": ["a", "b"]}, tmp_path / "a")
    torch.save(model.state_dict(), tmp_path / "b")
    for name in ("a", "b"):
        folder = import_ecg_founder(tmp_path / name, tmp_path / f"of_{name}", vocabulary=TWO)
        assert load_trained(folder).vocabulary == TWO


def test_only_an_earlier_import_is_replaced(tmp_path: Path) -> None:
    path = write_founder(tmp_path / "a.pth", tiny_founder())
    folder = import_ecg_founder(path, tmp_path / "folder")
    assert import_ecg_founder(path, folder) == folder
    (folder / "import_report.json").unlink()
    with pytest.raises(CheckpointError, match="no earlier import"):
        import_ecg_founder(path, folder)


def test_a_file_to_start_from_is_imported_once(tmp_path: Path) -> None:
    path = write_founder(tmp_path / "a.pth", tiny_founder(n_labels=150))
    folder = imported_folder(path, tmp_path / "cache")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert imported_folder(path, tmp_path / "cache") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert isinstance(load_checkpoint(folder), EcgFounder)


def test_fairseq_signals_gets_no_net1d(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="only ECG-FM can be exported"):
        export_fairseq(tiny_founder(), tmp_path / "a.pt")
