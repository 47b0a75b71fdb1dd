"""README.md of a checkpoint that was trained here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_files import RUN
from ecg_assets.models.model_card import describe_pretraining
from ecg_assets.models.model_family import ModelFamily
from ecg_assets.preprocess.signal_spec import SignalSpec

_CARD = """\
# {checkpoint}

- Trained on: {source} ({split_rule}): {n_train:,} recordings of {n_patients:,} patients; preset
  `{preset}`, {n_parameters:,} parameters, of which {n_trained:,} were trained.
- Best epoch {best_epoch} of {epochs}: validation loss {loss:.4f}, macro AUROC {auroc}. Thresholds
  and all other numbers belong to an evaluation, not to this page.
- Input: {leads}; {segment_s:g} s at {rate} Hz, normalization {normalization}, {n_channels}
  channels.
- Output: probabilities of {labels}. Labels are read from the carts' reports unless the source has
  its own; a label's positives in training are in `{run}`.
- Started from: {start}
- For research; not a medical device. On other hospitals' recordings, other carts and other leads it
  must be evaluated first.

```python
from ecg_assets.models import load_checkpoint

model = load_checkpoint("{checkpoint}")
```
"""


def training_card(
    record: Mapping[str, Any],
    spec: SignalSpec,
    vocabulary: LabelVocabulary,
    family: ModelFamily,
    *,
    has_pretraining: bool,
) -> str:
    """Write what a checkpoint was trained on, what it reads and says, as Markdown.

    Parameters
    ----------
    record
        Content of run.json.
    spec, vocabulary
        The model's.
    family
        What kind of model it is.
    has_pretraining
        Whether it started from a pretrained checkpoint.
    """
    train, auroc = record["splits"]["train"], record["valid_macro_auroc"]
    start = f"a pretrained checkpoint. {describe_pretraining(family)}"
    return _CARD.format(
        checkpoint=record["checkpoint_id"],
        source=record["trained_on"].get("source", "recordings that the request does not name"),
        split_rule=record["trained_on"].get("split_rule", "split not named"),
        n_train=train["n_records"],
        n_patients=train["n_patients"],
        preset=record["request"]["preset"],
        n_parameters=record["n_parameters"],
        n_trained=record["n_trained_parameters"],
        best_epoch=record["best_epoch"],
        epochs=record["epochs_trained"],
        loss=record["valid_loss"],
        auroc="undefined" if auroc is None else f"{auroc:.3f}",
        leads=", ".join(spec.leads),
        segment_s=spec.segment_s,
        rate=spec.sample_rate_hz,
        normalization=spec.normalization,
        n_channels=spec.n_channels,
        labels=", ".join(vocabulary.names),
        run=RUN,
        start=start if has_pretraining else "random weights.",
    )
