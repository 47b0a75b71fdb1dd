"""A checkpoint as a folder for whoever only uses it: model, labels, thresholds, instructions.

``python -m ecg_assets.evaluation.production <checkpoint folder> <new folder>``
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES, Thresholds
from ecg_assets.metrics.metrics import METRICS, Place, shown_in
from ecg_assets.models.card_metadata import CardResult, card_metadata, licence_id
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    IMPORT_REPORT,
    MODEL_CARD,
    MODEL_FILES,
    RUN,
    CheckpointCard,
    read_card,
    read_json,
    read_validation_predictions,
)
from ecg_assets.models.families import find_family
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.preprocess import SignalSpec, used_part
from ecg_assets.storage import replace_folder, write_json

THRESHOLDS = "thresholds.json"
ONNX = "model.onnx"


def export_production(
    checkpoint: Path,
    folder: Path,
    *,
    rule: str = "youden",
    with_onnx: bool = True,
    validation_path: Path | None = None,
    results: Sequence[EvaluationResult] = (),
) -> dict[str, Any]:
    """Write what is needed to use a checkpoint; the folder is replaced as a whole.

    It holds ``model.safetensors``, ``config.json``, ``signal_spec.json`` and
    ``label_vocabulary.json`` as they are, so that `load_trained` reads it; ``run.json`` where
    there is one; ``thresholds.json``; ``model.onnx``; and ``README.md``, which tells each step
    from a recording to an answer. No recording and no patient is in it.

    Parameters
    ----------
    checkpoint
        A checkpoint folder.
    folder
        Where to write.
    rule
        A name in `THRESHOLD_RULES`; thresholds come from the validation split alone.
    with_onnx
        Whether to write ``model.onnx``, which needs the extra ``onnx``.
    validation_path
        Scores of the validation split, where they do not stand with the checkpoint.
    results
        Evaluations of these weights, for the README's front matter; one of patients that a training
        is known to have seen is left out.

    Returns
    -------
    dict
        Content of ``thresholds.json``: ``rule``, ``chosen_on``, ``n_records``, ``weights``
        (SHA-256 of the model's file), ``thresholds`` (null where undefined) and ``undefined``
        (the reason, by label).

    Raises
    ------
    CheckpointError
        When a file of the checkpoint is missing or of another model.
    SettingsError
        When ONNX is asked for and its packages are not installed, or the model predicts numbers.
    """
    card = read_card(checkpoint)
    if card.vocabulary.is_continuous:
        raise SettingsError(
            f"Checkpoint {checkpoint.name} predicts numbers ({', '.join(card.vocabulary.names)}), "
            "which have no thresholds: this folder is for models of labels. Use `load_trained` and "
            "`predict_recording` on the checkpoint itself."
        )
    validation = read_validation_predictions(checkpoint, validation_path)
    stated = _state(card, Thresholds.from_validation(validation, rule))
    with replace_folder(folder) as temporary:
        for name in (*MODEL_FILES, *((RUN,) if card.run else ())):
            shutil.copyfile(checkpoint / name, temporary / name)
        write_json(temporary / THRESHOLDS, stated, indent=2)
        if with_onnx:
            from ecg_assets.models.onnx_export import export_onnx

            export_onnx(checkpoint, temporary / ONNX)
        config = read_json(checkpoint / CONFIG)
        page = _render_page(card, stated, config, has_onnx=with_onnx)
        metadata = _describe_for_hub(card, config, results)
        (temporary / MODEL_CARD).write_text(metadata + page, encoding="utf-8")
    return stated


def _state(card: CheckpointCard, chosen: Thresholds) -> dict[str, Any]:
    values = dict(zip(card.vocabulary.names, chosen.values.tolist(), strict=True))
    return {
        "rule": chosen.rule,
        "chosen_on": "validation split",
        "n_records": chosen.n_records,
        "weights": card.weights_sha256,
        "thresholds": {k: None if np.isnan(v) else v for k, v in values.items()},
        "undefined": {
            k: "the validation split has one class only" for k, v in values.items() if np.isnan(v)
        },
    }


def _describe_for_hub(
    card: CheckpointCard, config: dict[str, Any], results: Sequence[EvaluationResult]
) -> str:
    """Write the front matter of the README, with the means over labels of each evaluation."""
    found = [
        CardResult(
            result.source,
            str(result.evaluation_set.part),
            result.evaluation_set.describe(result.relation),
            metric,
            _name_with_interval(result, metric),
            float(result.macro[metric]),
        )
        for result in results
        if not result.is_leaking and result.lineage.get("weights") == card.weights_sha256
        for metric in shown_in(Place.LEADERBOARD)
        if np.isfinite(result.macro.get(metric, np.nan))
    ]
    family = find_family(config.get("model_type"))
    is_imported = (card.folder / IMPORT_REPORT).is_file()
    return card_metadata(
        card.folder.name,
        family=str(config.get("model_type")),
        licence=licence_id(family.licence) if family and is_imported else None,
        trained_on=card.source,
        base_model=card.base_model,
        results=found,
    )


def _name_with_interval(result: EvaluationResult, metric: str) -> str:
    title = f"macro {METRICS[metric].title}"
    low, high = (result.macro[f"{metric}_{end}"] for end in ("low", "high"))
    if not np.isfinite(low) or not np.isfinite(high):
        return title
    return f"{title}, 95 % interval over patients {low:.3f} to {high:.3f}"


def _render_page(
    card: CheckpointCard, stated: dict[str, Any], config: dict[str, Any], *, has_onnx: bool
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ecg_assets.evaluation", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    environment.filters["number"] = lambda value: f"{value:g}"
    environment.filters["threshold"] = lambda value: (
        "undefined: the validation split has one class only" if value is None else f"{value:.6g}"
    )
    # As the filter ecg-founder takes it: 0.4 s, made odd.
    window = int(0.4 * card.spec.sample_rate_hz) + 1
    return environment.get_template("production.md").render(
        checkpoint=card.folder.name,
        trained_on=card.source or "recordings that the checkpoint does not name",
        spec=card.spec,
        n_samples=card.spec.segment_samples,
        part=card.spec.describe_part(),
        used=_slice_in_words(card.spec),
        median_samples=window + 1 - window % 2,
        is_plain=_has_names(card.spec),
        n_channels=config["n_channels"],
        is_exclusive=config.get("problem_type") == EXCLUSIVE,
        labels=list(zip(card.vocabulary.names, card.vocabulary.aggregation, strict=True)),
        thresholds=stated,
        has_onnx=has_onnx,
        has_run=bool(card.run),
    )


def _has_names(spec: SignalSpec) -> bool:
    """Tell whether the page has words and a program for all steps of a spec."""
    has_names = isinstance(spec.filter, str) and isinstance(spec.normalization, str)
    return has_names and not spec.holds_segments and spec.resampling in ("linear", "polyphase")


def _slice_in_words(spec: SignalSpec) -> str:
    """Write the slice of samples that is used.

    >>> [_slice_in_words(SignalSpec(record_s=record_s)) for record_s in (10, None)]
    ['0:5000', '0:']
    """
    used = used_part(spec, spec.sample_rate_hz)
    return f"{used.start}:{'' if used.stop is None else used.stop}"


def main(arguments: list[str]) -> str:
    """Run the command and return what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_assets.evaluation.production", description=__doc__.splitlines()[0]
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("folder", type=Path, help="folder to write; replaced where it exists")
    parser.add_argument("--rule", choices=sorted(THRESHOLD_RULES), default="youden")
    parser.add_argument("--no-onnx", action="store_true", help="leave model.onnx out")
    chosen = parser.parse_args(arguments)
    try:
        export_production(
            chosen.checkpoint, chosen.folder, rule=chosen.rule, with_onnx=not chosen.no_onnx
        )
    except EcgAssetsError as error:
        parser.error(str(error))
    return f"{chosen.folder}: {', '.join(sorted(path.name for path in chosen.folder.iterdir()))}"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
