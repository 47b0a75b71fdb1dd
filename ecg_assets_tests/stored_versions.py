"""Versions that keep stored data valid, each pinned to a small output of the code behind it.

A result that is stored, or cached by what it was made from, stays in use until its version is
raised. So an output that changed under the same version means that old results stand for new
ones. ``stored_versions.json`` holds each version with its output;

    python -m ecg_assets_tests.stored_versions

writes those anew whose version was raised. An output that may change under its version, since
only the input changed that this package gives it, is named: ``--same-version NAME``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ecg_assets.build.signal_cache import CACHE_LAYOUT
from ecg_assets.defs.build import build_definitions
from ecg_assets.evaluation.external.crosswalk import crosswalk_fingerprint
from ecg_assets.labels import vocabulary_fingerprint
from ecg_assets.models.family import EMBEDDING_VERSION
from ecg_assets.models.imported import IMPORT_VERSION
from ecg_assets.sources.synthetic.cohort import GENERATOR_VERSION
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.pretrain.request import PretrainRequest
from ecg_assets_tests import small_outputs as outputs
from ecg_assets_tests.output_figures import describe, find_differences

STORED = Path(__file__).with_name("stored_versions.json")
COMMAND = "python -m ecg_assets_tests.stored_versions"

_EXACT = 1e-6  # relative: float64 throughout
_SIGNALS = 1e-4  # filters, and float32 at the end
_MODELS = 3e-4  # float32 throughout


@dataclass(frozen=True)
class StoredVersion:
    """A version, and the output that it stands for.

    Attributes
    ----------
    name
        Of the constant, or of the asset.
    version
        As it is now.
    where
        What to raise, and in which file.
    make
        Makes the output in an empty folder.
    tolerance
        Of its floats, see `find_differences`.
    inputs
        Names of others whose code makes its input, and may so change it.
    """

    name: str
    version: str
    where: str
    make: Callable[[Path], Any]
    tolerance: float = _EXACT
    inputs: tuple[str, ...] = ()

    def output(self) -> Any:
        """Describe the output, made anew."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with tempfile.TemporaryDirectory() as folder:
                described = describe(self.make(Path(folder)))
        finally:
            torch.set_num_threads(threads)
        return json.loads(json.dumps(described))


def stem_of(code_version: str) -> str:
    """Take the part of a code version that people raise, without fingerprints of settings.

    >>> stem_of("1-abc"), stem_of("2+abc"), stem_of("3")
    ('1', '2', '3')
    """
    return re.split(r"[-+]", code_version, maxsplit=1)[0]


@cache
def asset_versions() -> dict[str, str]:
    """What people raise of the code version of each asset, by the asset's name."""
    graph = build_definitions().resolve_asset_graph()
    return {
        key.to_user_string(): stem_of(graph.get(key).code_version or "")
        for key in graph.get_all_asset_keys()
    }


def _constant(
    name: str,
    version: int,
    file: str,
    make: Callable[[Path], Any],
    tolerance: float,
    *inputs: str,
) -> StoredVersion:
    return StoredVersion(name, str(version), f"{name} in {file}", make, tolerance, inputs)


def _asset(
    make: Callable[[Path], Any],
    module: str,
    tolerance: float = _EXACT,
    *inputs: str,
    tables: str = "",
) -> StoredVersion:
    """Pin an asset by the name of the function that makes its output."""
    name = make.__name__
    version = asset_versions()[name] + (f", tables {tables[:12]}" if tables else "")
    where = f"the code version of {name} in ecg_assets/defs/assets/{module}.py"
    return StoredVersion(name, version, where, make, tolerance, inputs)


@cache
def stored_versions() -> Mapping[str, StoredVersion]:
    """All pinned versions by name."""
    words = vocabulary_fingerprint()
    shards = "signal_shards"
    found = [
        _constant(
            "GENERATOR_VERSION",
            GENERATOR_VERSION,
            "ecg_assets/sources/synthetic/cohort.py",
            outputs.cohort_files,
            _MODELS,
        ),
        _constant(
            "CACHE_LAYOUT",
            CACHE_LAYOUT,
            "ecg_assets/build/signal_cache.py",
            outputs.signal_caches,
            _SIGNALS,
            shards,
            "manifests",
        ),
        _constant(
            "IMPORT_VERSION",
            IMPORT_VERSION,
            "ecg_assets/models/imported.py",
            outputs.imports,
            _SIGNALS,
        ),
        _constant(
            "EMBEDDING_VERSION",
            EMBEDDING_VERSION,
            "ecg_assets/models/family.py",
            outputs.embedding_file,
            _MODELS,
            shards,
        ),
        _constant(
            "FinetuneRequest.training_version",
            FinetuneRequest.training_version,
            "ecg_assets/training/finetune/request.py",
            outputs.finetuning,
            _MODELS,
        ),
        _constant(
            "PretrainRequest.training_version",
            PretrainRequest.training_version,
            "ecg_assets/training/pretrain/request.py",
            outputs.pretraining,
            _MODELS,
        ),
        _asset(outputs.record_list, "sources_and_split", _EXACT, "GENERATOR_VERSION"),
        _asset(outputs.machine_reports, "sources_and_split", _EXACT, "GENERATOR_VERSION"),
        _asset(outputs.labels, "labels", tables=words),
        _asset(outputs.label_evidence, "labels", tables=words),
        _asset(outputs.unmatched_statements, "labels", tables=words),
        _asset(outputs.label_crosswalk, "external", tables=words[:6] + crosswalk_fingerprint()),
        _asset(outputs.split, "sources_and_split"),
        _asset(outputs.signal_shards, "preprocess"),
        _asset(outputs.signal_quality, "preprocess", _EXACT, shards),
        _asset(outputs.mat_records, "export", _SIGNALS, shards),
        _asset(outputs.computed_labels, "export"),
        _asset(outputs.manifests, "build", _EXACT, shards),
        _asset(outputs.fairseq_manifests, "export", _SIGNALS, shards, "mat_records", "manifests"),
        _asset(outputs.predictions, "evaluation", _MODELS),
        _asset(outputs.embeddings, "apply", _MODELS, shards),
        _asset(outputs.record_scores, "apply", _MODELS, shards),
        _asset(outputs.eval_metrics, "evaluation"),
        _asset(outputs.leaderboard, "evaluation", _EXACT, "eval_metrics"),
        _asset(outputs.slice_metrics, "slices", _EXACT, shards),
        _asset(outputs.label_noise, "slices", _MODELS),
        _asset(outputs.drift, "slices", _EXACT, shards),
        _asset(outputs.lead_degradation, "external"),
    ]
    return {one.name: one for one in found}


NOT_PINNED = {
    "checkpoint": "the folder itself, by the fingerprint of its files",
    "finetuned_checkpoint": "FinetuneRequest.training_version",
    "fold_checkpoint": "FinetuneRequest.training_version",
    "grid_checkpoint": "FinetuneRequest.training_version",
    "repeated_checkpoint": "FinetuneRequest.training_version",
    "pretrained_checkpoint": "PretrainRequest.training_version",
    "frozen_embeddings": "EMBEDDING_VERSION",
    "matrix_cell": "a training and its metrics: FinetuneRequest.training_version, eval_metrics",
    "external_metrics": "the same numbers as eval_metrics, of predictions' scores",
    "mirror_status": "what is on disk at the time",
    "refused_checkpoints": "what was refused by the time",
    "upstream_labels": "another program's answers",
    "label_differences": "a count of labels against another program's answers",
    "croissant": "names, hashes and columns of what is stored",
    "eval_report": "a page to look at, whose numbers are those of eval_metrics",
    "classification_results": "pictures and lists to look at",
    "saliency": "pictures to look at",
    "production_model": "a copy of the checkpoint with a page and thresholds",
    "cross_validation": "means of the folds' metrics",
    "grid_search": "a ranking of the trainings' own metrics",
    "probe_grid": "a table to choose settings by, whose features are those of EMBEDDING_VERSION",
    "repeated_trainings": "means of the seeds' metrics",
    "evaluation_matrix": "the cells' metrics side by side",
}
"""Assets without a pin of their own, each with what stands for it or why there is none."""


def read_stored() -> dict[str, dict[str, Any]]:
    """Read what is stored: ``version`` and ``output`` by name."""
    stored: dict[str, dict[str, Any]] = json.loads(STORED.read_text(encoding="utf-8"))
    return stored


def find_fault(one: StoredVersion, stored: Mapping[str, Any] | None, output: Any) -> str:
    """Say what is wrong with a version and its output; nothing is an empty text."""
    if stored is None:
        return f"{one.name} is not in {STORED.name}. Run `{COMMAND}`."
    places = list(find_differences(stored["output"], output, one.tolerance, one.name))
    if stored["version"] != one.version:
        change = "changed" if places else "did not change"
        return (
            f"The version of {one.name} is {one.version}, {STORED.name} has {stored['version']}; "
            f"its output {change}. Run `{COMMAND}`."
        )
    if not places:
        return ""
    shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    text = (
        f"The output of {one.name} changed ({shown}) and its version {one.version} did not: "
        f"stored results of the old code would stay in use. Raise {one.where}, then run "
        f"`{COMMAND}`."
    )
    if one.inputs:
        text += (
            f" Its input here is made by the code behind {', '.join(one.inputs)}: if that alone "
            f"changed, run `{COMMAND} --same-version {one.name}`."
        )
    return text


def main(arguments: Sequence[str]) -> int:
    """Write what may be written anew; give 1 when a version must be raised first."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Store versions and outputs.")
    parser.add_argument(
        "--same-version",
        nargs="+",
        default=[],
        metavar="NAME",
        choices=sorted(stored_versions()),
        help="write these though their version is the same: old results are still right",
    )
    accepted = set(parser.parse_args(arguments).same_version)
    stored = read_stored() if STORED.is_file() else {}
    kept, faults = {}, []
    for name, one in stored_versions().items():
        output, before = one.output(), stored.get(name)
        fault = find_fault(one, before, output)
        is_stale = before and before["version"] == one.version and fault
        if is_stale and name not in accepted:
            faults.append(fault)
        is_kept = before and (not fault or (is_stale and name not in accepted))
        kept[name] = before if is_kept else {"version": one.version, "output": output}
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(kept.items())]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
