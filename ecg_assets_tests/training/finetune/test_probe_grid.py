"""Linear probes of a request as one grid: what they are measured by, the best, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.known import is_known, is_positive
from ecg_assets.metrics.ranks import label_aurocs
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import RUN, read_json
from ecg_assets.models.scoring import to_predictions
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import SegmentDataset
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.head_grid import measure_probes
from ecg_assets.training.finetune.methods import find_features
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.probe_grid import (
    AS_TRAINED,
    PROBE_GRID,
    advise,
    draw_probes,
    rank_probes,
    summarize_probes,
)
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import (
    partly_measured,
    run_toy,
    toy_request,
    write_toy_start,
)

GRID: dict[str, Any] = {"learning_rates": [0.5, 0.05], "weight_decays": [0.0, 0.1], "seeds": [3, 4]}


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Of half the labels nobody knows them."""
    manifest = toy_manifest(40)
    return TrainingData(partly_measured(manifest), toy_signals(manifest))


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> FinetuneRequest:
    folder = write_toy_start(tmp_path_factory.mktemp("pretrained"))
    values = {**AS_TRAINED, "epochs": 6, "batch_size": 16, "adam_beta2": 0.9, "adam_epsilon": 1e-6}
    return toy_request(folder / "out", pretrained=folder, reports_test=False, **values)


@pytest.fixture(scope="module")
def rows(data: TrainingData, request_: FinetuneRequest) -> list[dict[str, Any]]:
    return measure_probes(request_, lambda _: None, **GRID, open_data=lambda _: data)


def _alone(data: TrainingData, request: FinetuneRequest, row: dict[str, Any]) -> dict[str, Any]:
    """Train one head by torch's optimizer, and measure it after each epoch; keep the best."""
    assert request.pretrained is not None
    model = load_trained(request.pretrained).model.eval()
    features, targets = {}, {}
    for split in ("train", "valid"):
        of_split = data.rows(split)
        segments = SegmentDataset(data, of_split, 1)
        batch = segments.__getitems__(list(range(len(segments))))
        with torch.no_grad():
            features[split] = model.features(batch["input_values"])
        repeated = np.repeat(data.manifest.targets[of_split], data.n_segments(of_split), axis=0)
        targets[split] = repeated
    n_features, weight = features["train"].shape[1], torch.from_numpy(data.manifest.pos_weight)

    def loss_of(logits: torch.Tensor, target: Any) -> torch.Tensor:
        known = torch.from_numpy(is_known(target))
        positive = torch.from_numpy(is_positive(target)).to(logits.dtype)
        each = functional.binary_cross_entropy_with_logits(
            logits, positive, pos_weight=weight.to(logits.dtype), reduction="none"
        )
        return each[known].mean()

    head = torch.nn.Linear(n_features, 2)
    bound = n_features**-0.5
    generator = torch.Generator().manual_seed(row["seed"])
    drawn = torch.empty(n_features + 1, 2).uniform_(-bound, bound, generator=generator)
    with torch.no_grad():
        head.weight.copy_(drawn[:-1].T)
        head.bias.copy_(drawn[-1])
    groups = [
        {"params": [head.weight], "weight_decay": row["weight_decay"]},
        {"params": [head.bias], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=row["learning_rate"], betas=(0.9, 0.9), eps=1e-6)
    best: dict[str, Any] = {"valid_loss": np.inf}
    for epoch in range(6):
        n_segments = len(features["train"])
        order = np.random.default_rng([row["seed"], epoch]).permutation(n_segments)
        for start in range(0, n_segments, 16):
            batch_items = order[start : start + 16]
            loss = loss_of(head(features["train"][batch_items]), targets["train"][batch_items])
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
        logits = head(features["valid"]).detach()
        valid_loss = float(loss_of(logits.double(), targets["valid"]))
        if valid_loss < best["valid_loss"]:
            found = to_predictions(data.manifest, data.signals, data.rows("valid"), logits.numpy())
            aurocs = label_aurocs(found.target, found.score)
            best = {
                "best_epoch": epoch + 1,
                "valid_loss": valid_loss,
                "valid_macro_auroc": float(np.nanmean(aurocs)),
            }
    return best


def test_each_probe_has_the_best_epoch_and_numbers_that_it_would_have_alone(
    data: TrainingData, request_: FinetuneRequest, rows: list[dict[str, Any]]
) -> None:
    assert len(rows) == 8
    assert len({row["best_epoch"] for row in rows}) > 1  # not always the last one
    for row in rows:
        expected = _alone(data, request_, row)
        assert row["best_epoch"] == expected["best_epoch"]
        assert row["valid_loss"] == pytest.approx(expected["valid_loss"], abs=1e-4)
        assert row["valid_macro_auroc"] == pytest.approx(expected["valid_macro_auroc"], abs=1e-6)
        assert row["undefined"] is None


def test_a_probe_of_the_same_initial_weights_is_the_trainers(
    data: TrainingData, request_: FinetuneRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed for seed, in the order of segments, too."""
    recipe = request_.recipe.changed(learning_rate=0.05, weight_decay=0.1)
    request = request_.changed(recipe=recipe, seed=3, output_folder=tmp_path)
    head: Any = FinetuneTraining(request, data).build_model().get_submodule("head")
    start = torch.cat([head.weight.T, head.bias[None]]).detach()[None, :, None]
    monkeypatch.setattr(
        "ecg_assets.training.finetune.head_grid._initial",
        lambda *_: start.clone().requires_grad_(),
    )
    one: dict[str, Any] = {"learning_rates": [0.05], "weight_decays": [0.1], "seeds": [3]}
    (row,) = measure_probes(request, lambda _: None, **one, open_data=lambda _: data)
    folder, _ = run_toy(request, data)
    run = read_json(folder / RUN)
    assert row["best_epoch"] == run["best_epoch"]
    for name in ("valid_loss", "valid_macro_auroc"):
        assert row[name] == pytest.approx(run[name], abs=1e-5)


def test_test_split_is_never_read(
    data: TrainingData, request_: FinetuneRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = data.manifest.index.assign(
        split=np.where(data.manifest.index["split"] == "valid", "valid", "test")
    )
    index.loc[index.index % 5 < 2, "split"] = "train"
    seen: list[np.ndarray[Any, Any]] = []

    def spy(model: Any, data: Any, rows: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(rows)
        return find_features(model, data, rows, *args, **kwargs)

    monkeypatch.setattr("ecg_assets.training.finetune.head_grid.find_features", spy)
    changed = replace(data, manifest=replace(data.manifest, index=index))
    short = request_.changed(recipe=request_.recipe.changed(epochs=1))
    measure_probes(short, lambda _: None, **GRID, open_data=lambda _: changed)
    assert set(index["split"].iloc[seen[0]]) == {"train", "valid"}
    assert (index["split"] == "test").any()


def _row(rate: float, decay: float, seed: int, loss: float | None, auroc: float = 0.7) -> Any:
    return {
        "learning_rate": rate,
        "weight_decay": decay,
        "seed": seed,
        "best_epoch": None if loss is None else 2,
        "valid_loss": loss,
        "valid_macro_auroc": None if loss is None else auroc,
        "undefined": "not finite" if loss is None else None,
    }


RANKED = [
    *(_row(0.1, 0.0, seed, loss) for seed, loss in ((1, 0.1), (2, 0.9))),
    *(_row(0.01, 0.5, seed, loss) for seed, loss in ((1, 0.4), (2, 0.4))),
    *(_row(0.01, 0.0, seed, loss) for seed, loss in ((1, 0.5), (2, 0.3))),
    *(_row(0.001, 0.0, seed, loss) for seed, loss in ((1, 0.01), (2, None))),
]


def test_best_rate_and_decay_have_the_lowest_mean_over_all_seeds() -> None:
    table = rank_probes(RANKED)
    PROBE_GRID.from_pandas(table)
    best = table[table["is_best"]]
    # The lowest loss of a single seed, and that of a pair without a seed, do not count.
    assert best["learning_rate"].tolist() == [0.01, 0.01]
    assert best["weight_decay"].tolist() == [0.0, 0.0]
    summary = summarize_probes(table).set_index(["learning_rate", "weight_decay"])
    assert summary.loc[(0.1, 0.0), "valid_loss"] == pytest.approx(0.5)
    assert summary.loc[(0.1, 0.0), "valid_loss_sd"] == pytest.approx(np.std([0.1, 0.9], ddof=1))
    assert summary["valid_loss"].isna().sum() == 1
    assert summary["is_best"].sum() == 1
    assert draw_probes(table).startswith(b"\x89PNG")


def test_advice_is_a_run_configuration_and_says_when_the_best_is_at_the_end(
    tmp_path: Path,
) -> None:
    recipe = PRESETS["tiny"].changed(epochs=7, batch_size=32)
    said = advise(rank_probes(RANKED), recipe)
    assert said.startswith("Set learning_rate: 0.01 for method: linear-probe.")
    assert "rate of the grid" not in said
    settings = said.split("did: ")[1].removesuffix(".")
    values = dict(one.split(": ") for one in settings.split(", "))
    trained = PRESETS["tiny"].changed(**values)
    assert trained == recipe.changed(**AS_TRAINED, learning_rate=0.01, weight_decay=0.0)
    said = advise(rank_probes(RANKED[:6]), recipe)
    assert said.endswith("It is the lowest rate of the grid: a lower one may be better.")


def test_a_grid_without_any_finite_loss_has_no_best() -> None:
    with pytest.raises(EcgAssetsError, match=r"not finite\. Try lower learning rates"):
        rank_probes([_row(0.1, 0.0, 1, None)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rates": []}, r"learning_rates is \[\]; give at least one value"),
        ({"learning_rates": [0.1, 5.0]}, "learning_rates is .*learning_rate is 5.0; it must be"),
        ({"weight_decays": [-1.0]}, "weight_decays is .*it must be"),
        ({"seeds": [1, 1]}, r"seeds is \[1, 1\]; give at least one value, and each once"),
        ({"seeds": [-1]}, r"seeds is \[-1\]; each must be 0 or more"),
    ],
)
def test_what_is_no_grid_is_refused_before_data_are_read(
    request_: FinetuneRequest, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        measure_probes(request_, print, **{**GRID, **change}, open_data=lambda _: pytest.fail())


def test_exclusive_labels_are_refused(request_: FinetuneRequest) -> None:
    exclusive = request_.changed(recipe=request_.recipe.changed(objective="exclusive"))
    with pytest.raises(SettingsError, match="'exclusive', and a grid of probes trains labels"):
        measure_probes(exclusive, print, **GRID, open_data=lambda _: pytest.fail())
