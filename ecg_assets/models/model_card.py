"""README.md of an imported checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_files import LABEL_VOCABULARY
from ecg_assets.models.model_family import ModelFamily
from ecg_assets.preprocess.signal_spec import SignalSpec

_MANY = 30
"""So many labels are not listed."""
_CARD = """\
# {title}, {kind}

Imported from `{source}` of {writer} (SHA-256 `{fingerprint}`). No code of the file was
run; `import_report.json` lists every weight.

- Architecture: {architecture}.{assumed}
- Input: {signal}.
- Output: {labels}.
- Trained on: the file does not say. {pretraining}
- For research; not a medical device.

```python
from ecg_assets.models import load_checkpoint

model = load_checkpoint("{folder}")
```
"""


def model_card(
    family: ModelFamily,
    architecture: str,
    report: Mapping[str, Any],
    *,
    folder: str,
    spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
    n_labels: int,
) -> str:
    """Write what a checkpoint is, from where, and what it reads and says, as Markdown.

    Parameters
    ----------
    family, architecture
        What kind of model it is, and its sizes in words.
    report
        Content of import_report.json.
    folder
        Name of the folder.
    spec, vocabulary
        Meaning of input and outputs, where it is known.
    n_labels
        Outputs of the head.
    """
    signal = "not known: the file does not say which leads, at what sample rate, normalized how"
    if spec is not None:
        signal = (
            f"{', '.join(spec.leads)}; {spec.segment_s} s at {spec.sample_rate_hz} Hz, "
            f"normalization {spec.normalization} ({report['signal_spec']})"
        )
    labels = f"{n_labels} logits; the file does not name its labels"
    if report["kind"] == "pre-trained":
        labels = "features; there is no head, fine-tune it to get labels"
    if vocabulary is not None:
        labels = f"logits of {_list_labels(vocabulary)} ({report['label_vocabulary']})"
    return _CARD.format(
        title=family.title,
        writer=report["writer"],
        architecture=architecture,
        pretraining=describe_pretraining(family),
        kind=report["kind"],
        source=report["source"]["name"],
        fingerprint=report["source"]["fingerprint"],
        assumed="".join(f" Assumed: {sentence}." for sentence in report["assumed"]),
        signal=signal,
        labels=labels,
        folder=folder,
    )


def describe_pretraining(family: ModelFamily) -> str:
    """Say what a family's public weights have seen, and what follows for results."""
    if not family.pretrained_on:
        return "Where the weights have seen recordings, say so with every result on them."
    return (
        f"{family.pretrained_on}: where these are they, say so with every result on recordings "
        "from there."
    )


def _list_labels(vocabulary: LabelVocabulary) -> str:
    """Write the names of the labels, or where they stand when they are many."""
    if len(vocabulary) > _MANY:
        return f"{len(vocabulary)} labels, in order in `{LABEL_VOCABULARY}`"
    return ", ".join(vocabulary.names)
