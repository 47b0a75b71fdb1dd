"""Stage protocol: a paper's table on your copy of the data, beside the paper's numbers."""

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.defs.assets.evaluation import IntervalsConfig
from ecg_assets.defs.design_models import Embedded, embed_source
from ecg_assets.defs.matrix_partitions import computed_asset, keys_of
from ecg_assets.defs.partitions import AFTER_ALL_SHARDS
from ecg_assets.defs.protocol import (
    COLUMN,
    MODEL,
    ROW,
    SOURCE,
    DeployedProtocol,
    cell_partitions,
    cells_of_features,
    evaluate_both,
    feature_partitions,
    protocol_of,
)
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.defs.training_requests import run_training
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.lineage import fingerprint_json
from ecg_assets.protocols.cells import StoredCell, write_cell
from ecg_assets.protocols.page import draw_protocol, write_page
from ecg_assets.protocols.protocol import Protocol, ProtocolCell, Rules
from ecg_assets.protocols.table import compare, tabulate

_TABLES = [dg.AssetDep(name) for name in ("record_list", "machine_reports", "split")]


class ProtocolConfig(IntervalsConfig):
    """How a protocol's table is measured."""

    n_resamples: int = Field(
        default=0, description="Bootstrap resamples of patients; 0: as the protocol says.", ge=0
    )
    n_permutations: int = Field(
        default=0, description="Permutations of patients; 0: as the protocol says.", ge=0
    )


def build_assets(protocol: Protocol | None) -> list[dg.AssetsDefinition]:
    """Build the assets of a protocol: their partitions are its models, modes, tasks and seeds."""
    if protocol is None:
        return []
    features = dg.AssetDep("protocol_features", partition_mapping=cells_of_features(protocol))
    embedded = computed_asset(
        "protocol", feature_partitions(protocol), "parquet", [AFTER_ALL_SHARDS]
    )
    evaluated = computed_asset(
        "protocol", cell_partitions(protocol), "scikitlearn", [features, AFTER_ALL_SHARDS, *_TABLES]
    )
    table = dg.asset(
        group_name="protocol",
        io_manager_key="parquet",
        code_version="1",
        kinds={"parquet"},
        deps=["protocol_cell"],
    )
    return [embedded(protocol_features), evaluated(protocol_cell), table(protocol_table)]


def deployed_protocol(settings: Settings) -> DeployedProtocol:
    """Give the deployment's protocol; raise `SettingsError` where there is none."""
    protocol = protocol_of(settings)
    if protocol is None:
        raise SettingsError("ECG_PROTOCOL is not set. Set it to a protocol's name or file.")
    return DeployedProtocol(settings, protocol)


def protocol_features(
    context: AssetExecutionContext, settings: Settings, trainer: Trainer
) -> dg.MaterializeResult[None]:
    """Features of each stored recording of a source by a model before any training.

    Made once for a model and a source, and read by the logistic regressions of every task; a
    protocol without such a mode needs none.
    """
    keys = keys_of(context)
    deployed = deployed_protocol(settings)
    stored = deployed.stored(keys[SOURCE])
    compute = trainer.computing(context, settings)
    made: list[Embedded] = [
        compute(embed_source, model, stored, deployed.features(model, stored))
        for model in deployed.feature_models(keys[MODEL], keys[SOURCE])
    ]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_json([one.inputs.sha256 for one in made])),
        metadata={
            "files": [str(one.path) for one in made],
            "records": sum(one.n_records for one in made),
            "without_segment_or_signal": sum(one.n_without for one in made),
            "reused": sum(one.is_reused for one in made),
            "encoders": [one.inputs.encoder for one in made],
        },
    )


def protocol_cell(
    context: AssetExecutionContext, settings: Settings, trainer: Trainer
) -> dg.MaterializeResult[None]:
    """One model, trained in one mode for one task with one seed, as the paper did and corrected.

    Where both ask for the same, it is trained once. What is stored and still asked for is kept; an
    interrupted training resumes.
    """
    keys = keys_of(context)
    deployed = deployed_protocol(settings)
    (model, mode), (task, seed) = (keys[name].rsplit("/", 1) for name in (ROW, COLUMN))
    cell = ProtocolCell(model, mode, task, int(seed))
    if not deployed.protocol.has_mode(model, mode):
        raise SettingsError(f"{model} has no mode {mode} in {deployed.protocol.name}.")
    kept = {rules: deployed.find(cell, rules) for rules in Rules}
    found = {rules: one for rules, one in kept.items() if isinstance(one, StoredCell)}
    if len(found) < len(Rules):
        found = evaluate_both(
            deployed,
            cell,
            lambda request: run_training(context, settings, trainer, request),
            lambda rules, stored: write_cell(deployed.cells, cell, rules, stored),
            trainer.computing(context, settings),
        )
    facts = {rules: stored.facts for rules, stored in found.items()}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(
            fingerprint_json(
                [
                    [one.weights_sha256, one.identity, one.data.get("made_from")]
                    for one in (facts[rules] for rules in Rules)
                ]
            )
        ),
        metadata={
            f"{name}_{rules.replace(' ', '_')}": getattr(facts[rules], name) or "–"
            for rules in Rules
            for name in ("method", "weights", "weights_sha256", "seen_before", "data", "left_out")
        },
    )


def protocol_table(
    context: AssetExecutionContext, config: ProtocolConfig, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """The paper's table on this copy of the data: as published, and corrected, beside its numbers.

    Also writes a page, a CSV of table and comparisons each, and a LaTeX table. A cell that was not
    evaluated is listed as missing, with the reason.
    """
    deployed = deployed_protocol(settings)
    protocol, cells = deployed.protocol, deployed.collect()
    n_resamples = config.n_resamples or protocol.n_resamples
    n_permutations = config.n_permutations or protocol.n_permutations
    table = tabulate(protocol, cells, n_resamples=n_resamples, seed=settings.seed)
    compared = compare(
        protocol,
        cells,
        n_resamples=n_resamples,
        n_permutations=n_permutations,
        seed=settings.seed,
    )
    n_missing = sum(isinstance(found, MissingCell) for found in cells.values())
    if n_missing:
        context.log.warning(f"{n_missing} of {len(cells)} cells are missing.")
    files = write_page(deployed.root, protocol, cells, table, compared)
    shown = {
        "page": dg.MetadataValue.path(files.page),
        "csv": dg.MetadataValue.path(files.table),
        "latex": dg.MetadataValue.path(files.latex),
        "picture": png_metadata(draw_protocol(table), "our numbers beside the published ones"),
        "missing_cells": n_missing,
        "table": table_metadata(table[table["rules"] == str(Rules.CORRECTED)]),
    }
    return table_result("protocol_table", table, shown)
