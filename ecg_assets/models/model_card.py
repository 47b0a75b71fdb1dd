"""README.md of an imported checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.ecg_fm_config import EcgFmConfig
from ecg_assets.preprocess.signal_spec import SignalSpec

_CARD = """\
# ECG-FM, {kind}

Imported from `{source}` of fairseq-signals (SHA-256 `{fingerprint}`). No code of the file was
run; `import_report.json` lists every weight.

- Architecture: {n_layers} layers of width {width}, {n_heads} heads, {n_channels} input channels,
  {n_parameters:,} parameters.{assumed}
- Input: {signal}.
- Output: {labels}.
- Trained on: the file does not say. The public ECG-FM weights were pre-trained on MIMIC-IV-ECG:
  where these are they, say so with every result on recordings from there.
- For research; not a medical device.

```python
from ecg_assets.models import load_checkpoint

model = load_checkpoint("{folder}")
```
"""


def model_card(
    config: EcgFmConfig,
    report: Mapping[str, Any],
    *,
    folder: str,
    n_parameters: int,
    spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
) -> str:
    """Write what a checkpoint is, from where, and what it reads and says, as Markdown.

    Parameters
    ----------
    report
        Content of import_report.json.
    folder
        Name of the folder.
    """
    signal = "not known: the file does not say which leads, at what sample rate, normalized how"
    if spec is not None:
        signal = (
            f"{', '.join(spec.leads)}; {spec.segment_s} s at {spec.sample_rate_hz} Hz, "
            f"normalization {spec.normalization} ({report['signal_spec']})"
        )
    labels = f"{config.num_labels} logits; the file does not name its labels"
    if report["kind"] == "pre-trained":
        labels = "features; there is no head, fine-tune it to get labels"
    if vocabulary is not None:
        labels = f"logits of {', '.join(vocabulary.names)} ({report['label_vocabulary']})"
    return _CARD.format(
        kind=report["kind"],
        source=report["source"]["name"],
        fingerprint=report["source"]["fingerprint"],
        n_layers=config.num_hidden_layers,
        width=config.hidden_size,
        n_heads=config.num_attention_heads,
        n_channels=config.n_channels,
        n_parameters=n_parameters,
        assumed="".join(f" Assumed: {sentence}." for sentence in report["assumed"]),
        signal=signal,
        labels=labels,
        folder=folder,
    )
