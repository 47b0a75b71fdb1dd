"""Stage apply: a checkpoint on all stored recordings, with labels or without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import count_cut
from ecg_assets.defs.computing import apply, explain
from ecg_assets.defs.partitions import ALL_SHARDS, CHECKPOINTS
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.embedding_map import draw_embedding_map
from ecg_assets.evaluation.production import export_production
from ecg_assets.evaluation.result import EvaluationResult, read_results
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_folder
from ecg_assets.models.checkpoint_folder import read_card, validation_scores_path
from ecg_assets.preprocess import ShardDataset, draw_strips, lead_in_mv, used_part
from ecg_assets.storage import replace_folder
from ecg_assets.tables import disarm_formula


@dg.multi_asset(
    group_name="apply",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    can_subset=True,
    outs={
        "embeddings": dg.AssetOut(
            description="Pooled features of each stored recording, averaged over its segments.",
            code_version="2",
            kinds={"pytorch", "parquet"},
            is_required=False,
        ),
        "record_scores": dg.AssetOut(
            description="Probability of each label for each stored recording; needs no labels.",
            code_version="2",
            kinds={"pytorch", "parquet"},
            is_required=False,
        ),
    },
    ins={"signal_shards": ALL_SHARDS},
    deps=["checkpoint"],
)
def apply_checkpoint(
    context: AssetExecutionContext,
    settings: Settings,
    trainer: Trainer,
    signal_shards: ShardDataset,
) -> Iterator[dg.MaterializeResult[None]]:
    """Run the model over all stored shards of the current source.

    A recording that is too short or holds no signal has its row, without numbers: ``reason``
    says why. Each of the two can be made alone; the other stays as it is.
    """
    card = read_card(settings.store.checkpoints / context.partition_key)
    paths = {
        asset: settings.stored.folder(asset) / f"{context.partition_key}.parquet"
        for asset in sorted(key.to_user_string() for key in context.selected_asset_keys)
    }
    embeddings, picture = paths.get("embeddings"), None
    with _place_of_scores(settings, paths.get("record_scores")) as scores:
        counts = trainer.computing(context, settings)(
            apply, settings, card.folder, signal_shards, embeddings=embeddings, scores=scores
        )
        if embeddings is not None:
            label = _most_varied(scores, card.vocabulary)
            picture = draw_embedding_map(embeddings, scores, label)
    shown = {"embeddings": {"map": png_metadata(picture, "Embeddings")} if picture else {}}
    for asset, path in paths.items():
        yield dg.MaterializeResult(
            asset_key=asset,
            data_version=dg.DataVersion(fingerprint_file(path)),
            metadata={
                "path": dg.MetadataValue.path(path),
                "dagster/row_count": counts.total(),
                "scored": counts[""],
                "without_score": {reason: n for reason, n in counts.items() if reason},
                "used_of_a_recording": card.spec.describe_part(),
                "records_longer": count_cut(signal_shards, card.spec),
                **shown.get(asset, {}),
            },
        )


@contextmanager
def _place_of_scores(settings: Settings, wanted: Path | None) -> Iterator[Path]:
    """Give where scores go: of those that colour the map of embeddings alone, not to stay."""
    if wanted is not None:
        yield wanted
        return
    settings.stored.root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".scores-", dir=settings.stored.root) as folder:
        yield Path(folder) / "scores.parquet"


class SaliencyConfig(dg.Config):
    """What to explain."""

    label: str = Field(default="", description="Label to explain; empty: the most varied score.")
    record_ids: list[str] = Field(
        default_factory=list,
        description="Recordings to explain; none: the four with the highest score.",
    )
    method: str = Field(
        default="integrated-gradients", description="integrated-gradients or attention."
    )


@dg.asset(
    group_name="apply",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "png"},
    ins={"signal_shards": ALL_SHARDS},
    deps=["record_scores"],
)
def saliency(
    context: AssetExecutionContext,
    config: SaliencyConfig,
    settings: Settings,
    trainer: Trainer,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[None]:
    """Strips of recordings, shaded by what the model's answer rests on: red for, blue against."""
    card = read_card(settings.store.checkpoints / context.partition_key)
    scores = settings.stored.folder("record_scores") / f"{context.partition_key}.parquet"
    names = card.vocabulary.names
    label = config.label or _most_varied(scores, card.vocabulary)
    if label not in names:
        raise SettingsError(f"label is {label!r}; the checkpoint has {', '.join(names)}.")
    table = pq.read_table(scores, columns=["record_id", label]).to_pandas()
    score_of = table.set_index("record_id")[label]
    chosen = config.record_ids or score_of.nlargest(4).index.tolist()
    if not chosen:
        raise SettingsError(f"No recording has a score; column reason of {scores} says why.")
    signals = signal_shards.read_records(chosen, card.spec.leads)
    weights = trainer.computing(context, settings)(
        explain,
        settings,
        card.folder,
        signals,
        label=names.index(label),
        method=config.method,
    )
    lead = card.spec.leads[0]
    leads = [lead_in_mv(signals, row, lead) for row in range(len(chosen))]
    seconds = [len(weight) / card.spec.sample_rate_hz for weight in weights]
    png = draw_strips(
        [
            f"recording {number}: {label}, score {score_of.get(name, np.nan):.2f} · lead {lead}"
            for number, name in enumerate(chosen, start=1)
        ],
        [
            signal[used_part(card.spec, rate)][: round(length * rate)]
            for (signal, rate), length in zip(leads, seconds, strict=True)
        ],
        [rate for _, rate in leads],
        weights,
    )
    folder = settings.stored.folder("saliency") / context.partition_key
    with replace_folder(folder) as temporary:
        (temporary / "saliency.png").write_bytes(png)
        lines = [
            f"{number}\t{disarm_formula(name)}\n" for number, name in enumerate(chosen, start=1)
        ]
        (temporary / "records.tsv").write_text("".join(lines), encoding="utf-8")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "label": label,
            "method": config.method,
            "folder": dg.MetadataValue.path(folder),
            "strips": png_metadata(png, f"Saliency for {label}"),
        },
    )


def _most_varied(scores: Path, vocabulary: LabelVocabulary) -> str:
    """Name the label whose scores differ most between recordings."""
    table = pq.read_table(scores, columns=list(vocabulary.names)).to_pandas()
    spread = (table.max() - table.min()).fillna(0.0)
    return vocabulary.names[int(np.argmax(spread.to_numpy()))]


# Stage apply: a checkpoint as a folder for whoever only uses it.


class ProductionConfig(dg.Config):
    """What the folder holds."""

    rule: str = Field(
        default="youden", description="Thresholds: youden, max-f1 or fixed-sensitivity."
    )
    onnx: bool = Field(
        default=True, description="Whether to write model.onnx, which needs the extra onnx."
    )


@dg.asset(
    group_name="apply",
    partitions_def=CHECKPOINTS,
    code_version="2",
    kinds={"onnx"},
    deps=["predictions", "eval_metrics"],
)
def production_model(
    context: AssetExecutionContext, config: ProductionConfig, settings: Settings
) -> dg.MaterializeResult[None]:
    """What is needed to use a checkpoint: weights, signal spec, labels, thresholds, ONNX, README.

    Thresholds are chosen on the validation split. The README tells each step from a
    recording to an answer, and is a model card of the hub of Hugging Face with the stored
    evaluation's numbers; `load_trained` reads the folder.
    """
    checkpoint = settings.store.checkpoints / context.partition_key
    folder = settings.stored.folder("production_model") / context.partition_key
    stated = export_production(
        checkpoint,
        folder,
        rule=config.rule,
        with_onnx=config.onnx,
        validation_path=validation_scores_path(checkpoint, settings.stored),
        results=_read_evaluations(settings.stored.folder("eval_metrics"), context.partition_key),
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "readme": dg.MetadataValue.path(folder / "README.md"),
            "files": sorted(path.name for path in folder.iterdir()),
            "bytes": sum(path.stat().st_size for path in folder.iterdir()),
            "thresholds": stated,
        },
    )


def _read_evaluations(folder: Path, checkpoint: str) -> list[EvaluationResult]:
    """Read the evaluation of a checkpoint, if there is one that this version can read."""
    stored = read_results({checkpoint: folder / f"{checkpoint}.json"})
    return [one for one in stored.values() if isinstance(one, EvaluationResult)]
