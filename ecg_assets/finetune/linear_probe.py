"""The head alone, trained on features that the encoder computes once.

The encoder stays as it is and has no dropout here, so that a segment's features are the same in
every epoch: an epoch costs next to nothing after one pass of the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers.modeling_outputs import SequenceClassifierOutput

from ecg_assets.finetune.segments import Batch, SegmentDataset
from ecg_assets.models.classifier import EcgClassifier, classification_loss
from ecg_assets.models.device import autocast

_SEGMENTS_PER_PASS = 256


class HeadOnFeatures(nn.Module):
    """A model's head, as a model of features; training it trains the model's.

    Parameters
    ----------
    model
        Owner of the head.
    """

    def __init__(self, model: EcgClassifier) -> None:
        super().__init__()
        self.config = model.config
        self.head = model.get_submodule(model.head_name)

    def forward(
        self, features: Tensor, labels: Tensor, pos_weight: Tensor
    ) -> SequenceClassifierOutput:
        """Compute logits and loss as `EcgClassifier`, of features ``[batch, feature]``."""
        logits = self.head(features)
        loss = classification_loss(self.config, logits, labels, pos_weight)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class FeatureDataset(Dataset[Batch]):
    """Features of segments, float32 ``[segment, feature]``, in the order of the segments.

    Parameters
    ----------
    model
        Moved to `device` and set to evaluation.
    segments
        What to compute the features of.
    device, precision
        Where and how.
    """

    def __init__(
        self,
        model: EcgClassifier,
        segments: SegmentDataset,
        device: torch.device,
        precision: str,
    ) -> None:
        model.to(device).eval()
        parts: list[Batch] = []
        for start in range(0, len(segments), _SEGMENTS_PER_PASS):
            end = min(start + _SEGMENTS_PER_PASS, len(segments))
            batch = segments.__getitems__(list(range(start, end)))
            with torch.no_grad(), autocast(device, precision):
                features = model.embed(batch["input_values"].to(device))
            parts.append({"features": features.float().cpu(), "labels": batch["labels"].cpu()})
        self._features = torch.cat([part["features"] for part in parts])
        self._labels = torch.cat([part["labels"] for part in parts])
        self._pos_weight = batch["pos_weight"].cpu()

    def __len__(self) -> int:
        return len(self._features)

    def __getitems__(self, items: list[int]) -> Batch:
        """Read features as the arguments of `HeadOnFeatures.forward`."""
        return {
            "features": self._features[items],
            "labels": self._labels[items],
            "pos_weight": self._pos_weight,
        }
