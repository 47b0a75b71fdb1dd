"""Which settings shape which asset: they are part of its code version.

When such a setting changes, Dagster shows what it shapes, and all that follows from that, as out of
date; when it is changed back, as fresh again. Settings that shape no data (where things lie and
where they run) count for nothing. Of run configuration the defaults count: an asset that a run made
with other values is what its user asked for, and fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from ecg_assets.defs.assets.evaluation import IntervalsConfig
from ecg_assets.defs.assets.external import ExternalConfig
from ecg_assets.defs.assets.labels import UpstreamConfig
from ecg_assets.defs.assets.protocol import ProtocolConfig
from ecg_assets.defs.matrix_partitions import design_of
from ecg_assets.defs.partitions import N_FOLDS
from ecg_assets.defs.protocol import protocol_of
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.training_requests import FinetuneConfig
from ecg_assets.errors import EcgAssetsError
from ecg_assets.labels.label_set import fingerprint_label_set
from ecg_assets.lineage import fingerprint_json
from ecg_assets.sources.folder.settings import FolderSettings, load_folder_settings

STANDS_FOR_ITSELF = ("checkpoint",)
"""Known by its content, whatever would be trained now: what lies before it does not count."""

NOT_SHAPING = {
    "data_dir": "where results lie",
    "device": "where it is computed",
    "workers": "how many processes read",
    "max_rejected_share": "the limit of a check",
    "ecg_fm_python": "what runs ECG-FM's labeler",
}
"""Settings that change no stored number, and what they are."""

Shapes = Mapping[str, Any]


def with_shaping_settings(
    assets: Iterable[object], settings: Settings
) -> list[dg.AssetsDefinition]:
    """Add to each asset's code version the settings that shape it or what it is made from."""
    found = [one for one in assets if isinstance(one, dg.AssetsDefinition)]
    parents = {key: deps for one in found for key, deps in one.asset_deps.items()}
    shaped_by = {
        key.to_user_string(): values for key, values in _collect(parents, settings).items()
    }

    def rename(spec: dg.AssetSpec) -> dg.AssetSpec:
        values = shaped_by[spec.key.to_user_string()]
        if not values:
            return spec
        version = f"{spec.code_version or '1'}+{fingerprint_json(values)[:12]}"
        return spec.replace_attributes(code_version=version)

    return [
        one for one in dg.map_asset_specs(rename, found) if isinstance(one, dg.AssetsDefinition)
    ]


def _collect(
    parents: Mapping[dg.AssetKey, Iterable[dg.AssetKey]], settings: Settings
) -> dict[dg.AssetKey, dict[str, Any]]:
    """Collect what shapes each asset, by name of the asset that it shapes directly."""
    own, by_content = _direct(settings), _known_by_content(settings)
    done: dict[dg.AssetKey, dict[str, Any]] = {}

    def visit(key: dg.AssetKey) -> dict[str, Any]:
        if key not in done:
            name = key.to_user_string()
            done[key] = {name: own[name]} if name in own else {}
            if name not in STANDS_FOR_ITSELF:
                for parent in parents.get(key, ()):
                    done[key] |= visit(parent)
        return done[key]

    collected = {key: dict(visit(key)) for key in parents}
    for key, values in collected.items():
        name = key.to_user_string()
        if name in by_content:
            values[f"{name}, by its content"] = by_content[name]
    return collected


def _known_by_content(settings: Settings) -> dict[str, Any]:
    """Collect settings that make an asset again, whose content decides what follows."""
    return dict.fromkeys(("record_list", "machine_reports"), settings.raw_root)


def _direct(settings: Settings) -> dict[str, Shapes]:
    """Collect the values that shape each asset directly."""
    spec = _value(lambda: dict(settings.signal_spec.to_json()))
    labels = {
        "label_set": fingerprint_label_set(str(Path(settings.label_set).expanduser())),
        "label_threshold": settings.label_threshold,
    }
    precision, seed = {"precision": settings.precision}, {"seed": settings.seed}
    intervals = {**IntervalsConfig().model_dump(), **seed}
    training = {
        "preset": settings.preset,
        "pretrained": settings.pretrained,
        "trainer": FinetuneConfig().trainer,
        **precision,
        **seed,
    }
    manifest = {
        "exclusion": asdict(settings.quality_policy),
        "train_limit": _value(lambda: settings.train_limit and asdict(settings.train_limit)),
    }
    upstream = {**UpstreamConfig().model_dump(), "ecg_fm_root": settings.ecg_fm_root}
    # Exports, by the defaults of their run configuration: their module may be taken out.
    # Missing samples stay in the layout reference alone, but which it is the run says.
    keep_missing = settings.flawed_records == "keep"
    form = {"layout": "fairseq", "compress": True, "keep_missing": keep_missing}
    matrix = {
        **{"leads": settings.leads, "resampling": settings.resampling},
        **settings.other_part,
        **seed,
        **precision,
    }
    design = _value(lambda: asdict(design_of(settings)))
    protocol = {**matrix, "protocol": _value(lambda: _describe_protocol(settings))}
    return {
        "record_list": _value(settings.source_facts),
        "labels": labels,
        "label_evidence": labels,
        "unmatched_statements": labels,
        "upstream_labels": upstream,
        "label_differences": {"label_threshold": settings.label_threshold, **upstream},
        "label_crosswalk": labels,
        "split": {"split_rule": _value(lambda: settings.split_rule)},
        "signal_shards": {
            "stored_leads": settings.stored_leads,
            "signal_quality": settings.signal_quality,
            **_described_files(settings),
        },
        "mat_records": {"spec": spec, "form": form},
        "computed_labels": {"label_weights": "train"},
        "manifests": {"spec": spec, **manifest},
        "fairseq_manifests": {
            "layout": "fairseq",
            "label_weights": "",  # of the layout reference alone
        },
        "pretrained_checkpoint": {**precision, **seed},
        "finetuned_checkpoint": training,
        "fold_checkpoint": {**training, "n_folds": N_FOLDS},
        "grid_checkpoint": training,
        "probe_grid": {k: v for k, v in training.items() if k != "trainer"},
        "repeated_checkpoint": {k: v for k, v in training.items() if k != "seed"},
        "predictions": precision,
        "eval_metrics": intervals,
        "external_metrics": {
            "sets": ExternalConfig().sets,
            "exclusion": manifest["exclusion"],
            **intervals,
            **precision,
        },
        "lead_degradation": {**intervals, **precision},
        "slice_metrics": intervals,
        "label_noise": seed,
        "eval_report": intervals,
        "leaderboard": intervals,
        "embeddings": precision,
        "record_scores": precision,
        "saliency": precision,
        "frozen_embeddings": matrix,
        "matrix_cell": {
            **matrix,
            **manifest,
            **intervals,
            "label_threshold": settings.label_threshold,
            "changes": design.get("changes") if isinstance(design, dict) else design,
        },
        "evaluation_matrix": {**intervals, "design": design},
        "protocol_features": protocol,
        "protocol_cell": protocol,
        "protocol_table": {**ProtocolConfig().model_dump(), **seed},
    }


def _describe_protocol(settings: Settings) -> Any:
    protocol = protocol_of(settings)
    return protocol.model_dump(mode="json") if protocol else None


def _described_files(settings: Settings) -> Shapes:
    """Collect what folder.yaml says of files; nothing where there is none."""
    said = _value(lambda: asdict(load_folder_settings(settings.source_root)))
    return {} if isinstance(said, str) or said == asdict(FolderSettings()) else {"files": said}


def _value(make: Callable[[], Any]) -> Any:
    """Make a value; of settings that do not fit each other the message, which a run will raise."""
    try:
        return make()
    except (EcgAssetsError, ValueError, OSError) as error:
        return str(error)
