"""Damaged checkpoints: each is loaded, or refused with a row that says why; nothing else happens.

``python -m ecg_assets_tests.dropped.test_checkpoint_fuzz 500 1`` damages 500 with the seed 1 and
prints how they ended.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from ecg_assets.defs.show import training_inputs
from ecg_assets.dropped.checkpoints import (
    Dropped,
    explain_unusable,
    find_dropped,
    prepare_checkpoint,
)
from ecg_assets.dropped.refused import list_refused, refusals_kept, refuse
from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.evaluation.report.document import describe_checkpoint
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import read_card
from ecg_assets.models.load import import_checkpoint_file
from ecg_assets.models.predictions import ValidationPredictions
from ecg_assets.models.seen_patients import SeenPatients
from ecg_assets.preprocess import signal_spec_of_kind
from ecg_assets.store import Store
from ecg_assets_tests.models.fairseq_checkpoints import write_finetuned
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm, write_lfm
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder
from ecg_assets_tests.models.toy_recordings import VOCABULARY, toy_manifest

N_IN_SUITE, SEED = 21, 3

Damage = Callable[[Path, random.Random], None]

_NASTY: list[Any] = [
    *(0, -1, 1, 2, 3, 7, 10**6, 10**9, 2**31, 2**63, 10**30, -(10**9), 0.5, 1e300, -1e-300),
    *(float("nan"), float("inf"), True, False, None, "", "0", "12", "nan", "../..", "x" * 10_000),
    *([], [[]], [0], [-1], [10**9], ["a"], [None], {}, {"a": 1}, {"0": None}, "kernels/flash"),
    [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]],
]
_TEXTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"1e999",
    b'"text"',
    bytes(range(256)),
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b"9" * 10_000,
]


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 1",)


# The checkpoints that are damaged.


def make_seeds(folder: Path) -> list[Path]:
    """Write a folder of each family and with each file that a training leaves, and three files."""
    write_founder(folder / "founder.pth", tiny_founder(n_labels=150))
    write_lfm(folder / "lfm.pt", tiny_lfm(12, n_labels=1))
    write_finetuned(folder / "fm.pt", n_labels=len(ECG_FM_LABELS))
    for file in sorted(folder.iterdir()):
        import_checkpoint_file(file, folder / f"{file.stem}-folder")
    _save_trained_folder(folder)
    return sorted(folder.iterdir())


def _save_trained_folder(folder: Path) -> None:
    trained = folder / "trained"
    trained.mkdir()
    manifest = toy_manifest(20)
    model = tiny_founder(1, 2)
    save_trained(trained, model, signal_spec_of_kind("ecg-founder"), VOCABULARY)
    rows = manifest.rows("valid")
    scores = torch.rand(len(rows), 2).numpy()
    table = ValidationPredictions.of_rows(manifest, rows, scores).to_table()
    pq.write_table(table, trained / "validation_predictions.parquet")
    seen = SeenPatients.of_training("trained", "fine-tuning", manifest, start=None)
    seen.write(trained)
    run = {
        "checkpoint_id": "trained",
        "request": {"inputs": {"labels": "4f"}, "preset": "tiny", "recipe": {"epochs": 1}},
        "trained_on": {"source": "toy", "split_rule": "by number"},
        "splits": {"train": {"n_records": 16, "n_patients": 16}},
        "best_epoch": 1,
        "valid_loss": 0.5,
        "valid_macro_auroc": None,
        "code": {"git_commit": None, "versions": {}},
    }
    (trained / "run.json").write_text(json.dumps(run))


# Ways of damaging.


def flip_bytes(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    # Headers, directories and settings stand at the ends.
    where = dice.choice([range(len(data)), range(min(2000, len(data))), range(-2000, 0)])
    for _ in range(dice.randint(1, 20)):
        with suppress(IndexError):
            data[dice.choice(where)] = dice.randrange(256)
    path.write_bytes(data)


def cut_or_extend(path: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    is_cut = dice.random() < 0.7
    path.write_bytes(data[: dice.randrange(len(data))] if is_cut else data + dice.randbytes(500))


def replace_by_other(path: Path, dice: random.Random) -> None:
    path.unlink()
    match dice.randrange(4):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            path.symlink_to(path.name)
        case _:
            path.write_bytes(dice.choice(_TEXTS))


def make_sparse(path: Path, dice: random.Random) -> None:
    os.truncate(path, 40 << 30)


def change_json(path: Path, dice: random.Random) -> None:
    """Change one to three values, at any depth; or take one away."""
    value = json.loads(path.read_text())
    for _ in range(dice.randint(1, 3)):
        _change_value(value, dice)
    path.write_text(json.dumps(value))


def _change_value(value: Any, dice: random.Random) -> None:
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = dice.choice(keys)
        if not (isinstance(place[key], dict | list) and place[key] and dice.random() < 0.7):
            break
        place = place[key]
    if dice.random() < 0.15:
        del place[key]
    else:
        place[key] = dice.choice(_NASTY)


def change_weights(path: Path, dice: random.Random) -> None:
    weights = load_file(path)
    _change_tensors(weights, dice)
    plain = {name: value.contiguous() for name, value in weights.items()}
    save_file(plain, path, metadata={"format": "pt"})


def _change_tensors(weights: dict[str, torch.Tensor], dice: random.Random) -> None:
    name = dice.choice(sorted(weights))
    value = weights[name]
    match dice.randrange(7):
        case 0:
            del weights[name]
        case 1:
            weights[f"{name}.other"] = value.clone()
        case 2:
            weights[name] = torch.zeros([*value.shape, 2])
        case 3:
            weights[name] = (
                torch.full_like(value, float("nan")) if value.is_floating_point() else value
            )
        case 4:
            weights[name] = value.double() * 1e300
        case 5:
            weights[name] = torch.zeros(0)
        case _:
            weights[name.replace("0", "999999999")] = weights.pop(name)


def change_content(path: Path, dice: random.Random) -> None:
    """Change what a file of torch.save holds."""
    content = torch.load(path, weights_only=True)
    weights = next(content[k] for k in ("model", "state_dict") if k in content)
    name = dice.choice(sorted(weights))
    match dice.randrange(6):
        case 0:
            _change_tensors(weights, dice)
        case 1:
            weights[name] = torch.zeros(1).expand(10**6, 10**6)
        case 2:
            weights[name] = dice.choice(_NASTY)
        case 3:
            content["hidden"] = _Code()
        case 4:
            many: Any = [1]
            for _ in range(30):
                many = [many] * 10
            content[dice.choice(sorted(content))] = many
        case _:
            _change_value(content, dice)
    torch.save(content, path)


def deflate(path: Path, dice: random.Random) -> None:
    """Pack the archive, with many bytes of pickle that weigh little."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, b"]" * 10**7 + data if name.endswith("data.pkl") else data)


def change_table(path: Path, dice: random.Random) -> None:
    table = pq.read_table(path)
    name = dice.choice(table.column_names)
    match dice.randrange(4):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.replace_schema_metadata({b"stages": dice.choice(_TEXTS)})
        case 2:
            kind = dice.choice(["string", "float64", "int8", "bool"])
            with suppress(Exception):
                table = table.set_column(0, name, table[name].cast(kind, safe=False))
        case _:
            table = table.take([0] * 1_000_000).take(list(range(1_000_000)) * 10)
    pq.write_table(table, path)


_ANY: list[Damage] = [flip_bytes, flip_bytes, cut_or_extend, replace_by_other]
_OF_TORCH: list[Damage] = [*(change_content,) * 6, deflate, make_sparse]
_OF_SUFFIX: dict[str, list[Damage]] = {
    ".json": [*(change_json,) * 8],
    ".safetensors": [*(change_weights,) * 3, make_sparse],
    ".pt": _OF_TORCH,
    ".pth": _OF_TORCH,
    ".parquet": [*(change_table,) * 4],
}


# What becomes of them.


def run_case(root: Path, seed: Path, dice: random.Random) -> tuple[str, str]:
    """Damage a copy of a checkpoint, and try to use it; give what was done and how it ended."""
    store = Store(root)
    target = store.checkpoints / seed.name
    store.checkpoints.mkdir(parents=True)
    shutil.copytree(seed, target) if seed.is_dir() else shutil.copyfile(seed, target)
    files = [p for p in sorted(target.iterdir()) if p.suffix in _OF_SUFFIX] if seed.is_dir() else []
    file = dice.choice(files or [target])
    damage = dice.choice(_ANY + _OF_SUFFIX[file.suffix])
    damage(file, dice)
    try:
        return f"{damage.__name__} of {seed.name}/{file.name}", _use(store, target)
    finally:
        shutil.rmtree(root)


def _use(store: Store, target: Path) -> str:
    name = target.stem if target.is_file() else target.name
    try:
        if reason := explain_unusable(Dropped(target)):
            refuse(store, target, reason)
            raise CheckpointError(reason)
        with refusals_kept(store, name):
            folder = prepare_checkpoint(store.checkpoints, name)
        training_inputs(read_card(folder))
        json.dumps(describe_checkpoint(folder))
    except CheckpointError as error:
        kind = "UnsafeCheckpoint" if isinstance(error, UnsafeCheckpoint) else "CheckpointError"
        is_listed = list_refused(store)["file"].tolist() == [target.name]
        is_found = any(item.path == target for item in find_dropped(store.checkpoints))
        return kind if is_listed or not is_found else f"{kind} without a row"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "loaded"


def run_cases(n_cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Damage so many checkpoints; count how they ended, and list what must not happen."""
    dice, outcomes, wrong = random.Random(seed), Counter[str](), []
    allowed = ("loaded", "CheckpointError", "UnsafeCheckpoint")
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "seeds").mkdir()
        seeds = make_seeds(Path(work) / "seeds")
        for number in range(n_cases):
            case, outcome = run_case(Path(work) / "data", seeds[number % len(seeds)], dice)
            outcomes[outcome if outcome in allowed else "anything else"] += 1
            if outcome not in allowed:
                wrong.append(f"{number}: {case}: {outcome}")
    return outcomes, wrong


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.filterwarnings("ignore")
def test_damaged_checkpoints_are_loaded_or_refused() -> None:
    outcomes, wrong = run_cases(N_IN_SUITE, SEED)
    assert wrong == []
    assert sum(outcomes.values()) == N_IN_SUITE
    assert outcomes["CheckpointError"] > N_IN_SUITE / 3
    assert outcomes["loaded"] > 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counted, others = run_cases(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write("\n".join(others) + f"\n{dict(counted)}, peak {_peak_mib():.0f} MiB\n")
