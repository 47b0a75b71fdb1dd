"""What training reads: manifests, class weights, decoded signals.

Belongs here: joining recordings, labels, split and shards; which recordings are good
enough; the forms that training reads, our own and fairseq-signals'. Does not belong
here: reading datasets, judging reports, models. Used by models, finetune,
pretrain, evaluation and defs.
"""

from ecg_assets.build.builder import (
    QualityPolicy,
    TrainLimit,
    build_manifest,
    count_cut,
    find_missing_samples,
)
from ecg_assets.build.manifest import (
    EXCLUDED,
    INDEX,
    Manifest,
    fingerprint_manifest,
    label_definition,
    positive_weights,
    read_manifest,
    write_manifest,
)
from ecg_assets.build.signal_cache import SignalCache

__all__ = [
    "EXCLUDED",
    "INDEX",
    "Manifest",
    "QualityPolicy",
    "SignalCache",
    "TrainLimit",
    "build_manifest",
    "count_cut",
    "find_missing_samples",
    "fingerprint_manifest",
    "label_definition",
    "positive_weights",
    "read_manifest",
    "write_manifest",
]
