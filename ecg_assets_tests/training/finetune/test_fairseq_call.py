from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.training.fairseq_signals.request import (
    FairseqOptions,
    FairseqRequest,
    override_tokens,
)
from ecg_assets.training.finetune.presets import PRESETS

WEIGHTS = (26.52568473, 0.2354, 1087.483)
# The call in the reference's README, as its shell passes it on.
OLDER = shlex.split(
    """task.data=/data/manifests +task.label_file=/data/manifests/y.npy task.normalize=false
    task.enable_padding=true task.enable_padding_leads=false
    model.model_path=/models/mimic_iv_ecg_physionet_pretrained.pt model.num_labels=3
    model.no_pretrained_weights=false model.dropout=0.0 model.attention_dropout=0.0
    model.activation_dropout=0.1 model.feature_grad_mult=0 model.freeze_finetune_updates=0
    model.in_d=12 model.saliency=false +criterion.pos_weight=[26.52568473,0.2354,1087.483]
    criterion.report_auc=true criterion.report_cinc_score=false optimization.max_epoch=100
    optimization.max_update=320000 optimization.lr=[0.00005] lr_scheduler._name=fixed
    lr_scheduler.warmup_updates=0 dataset.num_workers=6 dataset.batch_size=128
    dataset.max_tokens=null 'dataset.valid_subset="valid,test"' dataset.disable_validation=false
    distributed_training.distributed_world_size=1
    distributed_training.find_unused_parameters=true checkpoint.save_dir=/out
    checkpoint.save_interval=1 checkpoint.save_interval_updates=0
    checkpoint.no_epoch_checkpoints=true checkpoint.no_last_checkpoints=true
    checkpoint.keep_last_epochs=0 checkpoint.keep_best_checkpoints=1
    checkpoint.no_save_optimizer_state=true checkpoint.best_checkpoint_metric=loss
    checkpoint.maximize_best_checkpoint_metric=false common.fp16=false common.log_format=json
    common.log_interval=10 common.all_gather_list_size=2048000"""
)
CHANGED = {
    "optimization.lr=[0.00005]": "optimization.lr=[1e-06]",
    "dataset.batch_size=128": "dataset.batch_size=256",
    'dataset.valid_subset="valid,test"': 'dataset.valid_subset="valid"',
}
CURRENT = [CHANGED.get(token, token) for token in OLDER] + shlex.split(
    "optimizer.adam_betas='[0.9,0.98]' optimizer.adam_eps=1e-08 common.seed=1"
)


def _tokens(options: FairseqOptions, data: str = "/data/manifests") -> list[str]:
    return override_tokens(
        options,
        data=Path(data),
        labels=Path(data) / "y.npy",
        pretrained=Path("/models/mimic_iv_ecg_physionet_pretrained.pt"),
        save_folder=Path("/out"),
    )


def test_defaults_are_the_older_call_token_by_token() -> None:
    assert _tokens(FairseqOptions(pos_weight=WEIGHTS)) == OLDER


def test_preset_of_the_published_result_is_the_current_call_token_by_token() -> None:
    options = FairseqOptions.from_recipe(PRESETS["ecg-fm-mimic"], pos_weight=WEIGHTS, seed=1)
    assert _tokens(options) == CURRENT


def test_preset_of_the_older_call_adds_only_what_its_configuration_says_anyway() -> None:
    options = FairseqOptions.from_recipe(PRESETS["ecg-fm-lead-i"], pos_weight=WEIGHTS, seed=1)
    assert _tokens(options) == OLDER + CURRENT[-3:]


def test_other_options_of_a_recipe_are_told_too() -> None:
    recipe = PRESETS["ecg-fm-lead-i"].changed(
        epochs=3,
        gradient_accumulation=4,
        max_gradient_norm=1.0,
        weight_decay=0.01,
        patience=5,
        freeze_convolutions=False,
        activation_dropout=0.2,
    )
    options = FairseqOptions.from_recipe(
        recipe, pos_weight=WEIGHTS, seed=7, precision="fp16", n_gpus=2
    )
    assert set(_tokens(options)) - set(OLDER) - set(CURRENT) == {
        "optimization.max_epoch=3",
        "optimization.update_freq=[4]",
        "optimization.clip_norm=1.0",
        "+optimizer.weight_decay=0.01",
        "checkpoint.patience=5",
        "model.feature_grad_mult=1",
        "model.activation_dropout=0.2",
        "common.seed=7",
        "common.fp16=true",
        "distributed_training.distributed_world_size=2",
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [({"schedule": "cosine"}, "schedule"), ({"method": "linear-probe"}, "linear-probe")],
)
def test_what_it_cannot_do_is_refused_by_name(change: dict[str, str], named: str) -> None:
    recipe = PRESETS["ecg-fm-lead-i"].changed(**change)
    with pytest.raises(SettingsError, match=named):
        FairseqOptions.from_recipe(recipe, pos_weight=WEIGHTS, seed=1)


def test_tiny_preset_and_bf16_are_refused() -> None:
    with pytest.raises(SettingsError, match="cosine"):
        FairseqOptions.from_recipe(PRESETS["tiny"], pos_weight=WEIGHTS, seed=1)
    with pytest.raises(SettingsError, match="ECG_PRECISION is 'bf16'"):
        FairseqOptions.from_recipe(
            PRESETS["ecg-fm-lead-i"], pos_weight=WEIGHTS, seed=1, precision="bf16"
        )


@pytest.mark.parametrize("weights", [(), (1.0, float("inf")), (0.0,), (float("nan"),)])
def test_weights_that_are_none_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="pos_weight"):
        FairseqOptions(pos_weight=weights)


def test_unusual_paths_are_quoted_for_hydra() -> None:
    token = _tokens(FairseqOptions(pos_weight=WEIGHTS), "/my data/a=b,c's")[0]
    assert token == "task.data='/my data/a=b,c\\'s'"


def test_encoder_of_another_width_is_told() -> None:
    tokens = override_tokens(
        FairseqOptions(pos_weight=WEIGHTS),
        data=Path("/d"),
        labels=Path("/d/y.npy"),
        pretrained=Path("/p.pt"),
        save_folder=Path("/o"),
        encoder_width=64,
    )
    assert tokens[-1] == "+model.encoder_embed_dim=64"


def test_options_survive_json() -> None:
    options = FairseqOptions.from_recipe(PRESETS["ecg-fm-mimic"], pos_weight=WEIGHTS, seed=1)
    assert FairseqOptions(**json.loads(options.model_dump_json())) == options


def test_a_stored_request_is_read_and_keeps_its_checkpoints_name() -> None:
    """As it was written before requests were checked by pydantic."""
    stored = json.loads((Path(__file__).with_name("fairseq_request.json")).read_text())
    request = FairseqRequest(**stored)
    assert request.checkpoint_id == "ecg-fm-lead-i-fairseq-09bc71932494"
    assert json.loads(json.dumps(request.model_dump(mode="json"))) == stored
