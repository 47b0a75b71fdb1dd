"""Model architectures, checkpoint folders, and inference.

Belongs here: ECG-FM on top of transformers, folding of its first convolution, the format
of a checkpoint folder, scores of recordings (`Predictions`). Does not belong here:
training (finetune), metrics (evaluation), the .mat and manifest formats (preprocess, build).
Used by finetune, evaluation and defs. `predictions`, `aggregation` and `checkpoint_files`
need no torch; import the other modules by name where torch may be loaded.
"""

from ecg_assets.models.checkpoint_files import (
    CheckpointCard,
    read_card,
    read_validation_predictions,
)
from ecg_assets.models.predictions import Predictions

__all__ = ["CheckpointCard", "Predictions", "read_card", "read_validation_predictions"]
