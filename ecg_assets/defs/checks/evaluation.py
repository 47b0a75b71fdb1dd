"""Checks of the stage evaluation."""

import dagster as dg

from ecg_assets.defs.data_versions import current_inputs
from ecg_assets.defs.evaluation_view import TRAINING
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.lineage import find_mismatches


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def inputs_are_those_stored_now(
    context: dg.AssetCheckExecutionContext, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Compare every fingerprint behind the metrics with what is stored now."""
    required = {
        name: fingerprint
        for name, fingerprint in eval_metrics.lineage.items()
        if not name.startswith(TRAINING)
    }
    mismatches = find_mismatches(required, current_inputs(context.instance, context.partition_key))
    return dg.AssetCheckResult(
        passed=not mismatches,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "inputs": len(required),
            "changed_since": [str(mismatch) for mismatch in mismatches],
        },
    )


CHECKS = [inputs_are_those_stored_now]
