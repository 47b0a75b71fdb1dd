"""Checks of the stage finetune."""

import dagster as dg
import numpy as np

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.resources import Settings


@dg.asset_check(
    asset="finetuned_checkpoint",
    additional_ins={"manifests": dg.AssetIn("manifests")},
    blocking=True,
    pool="gpu",
)
def reproduces_its_validation_loss(
    context: dg.AssetCheckExecutionContext, settings: Settings, manifests: Manifest
) -> dg.AssetCheckResult:
    """Load the checkpoint from disk and compute its validation loss again."""
    from ecg_assets.finetune.validate import reproduce_validation_loss
    from ecg_assets.models.checkpoint import load_trained

    stored = latest_metadata(context.instance, "finetuned_checkpoint")
    folder = settings.checkpoints / str(stored["checkpoint_id"].value)
    signals = SignalCache.open(
        manifests.index,
        settings.folder("signal_shards"),
        manifests.spec,
        settings.folder("cache"),
    )
    found = reproduce_validation_loss(
        load_trained(folder), manifests, signals, device=settings.device
    )
    expected = float(stored["valid_loss"].value)
    return dg.AssetCheckResult(
        passed=bool(np.isclose(found, expected, rtol=1e-3, atol=1e-5)),
        metadata={"valid_loss_recorded": expected, "valid_loss_recomputed": found},
    )


CHECKS = [reproduces_its_validation_loss]
