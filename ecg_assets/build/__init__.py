"""What training reads: manifests, class weights, decoded signals.

Belongs here: joining recordings, labels, split and shards; which recordings are good
enough; the forms that training reads, our own and fairseq-signals'. Does not belong
here: reading datasets, judging reports, models. Used by models, finetune,
pretrain, evaluation and defs.
"""

from ecg_assets.build.class_weights import label_definition, positive_weights
from ecg_assets.build.fairseq_manifest import write_fairseq_manifest
from ecg_assets.build.manifest import EXCLUDED, INDEX, Manifest, fingerprint_manifest
from ecg_assets.build.manifest_builder import build_manifest
from ecg_assets.build.manifest_folder import read_manifest, write_manifest
from ecg_assets.build.missing_samples import find_missing_samples
from ecg_assets.build.quality import QualityPolicy
from ecg_assets.build.reference_manifest import write_reference_manifest
from ecg_assets.build.signal_cache import SignalCache
from ecg_assets.build.train_limit import TrainLimit

__all__ = [
    "EXCLUDED",
    "INDEX",
    "Manifest",
    "QualityPolicy",
    "SignalCache",
    "TrainLimit",
    "build_manifest",
    "find_missing_samples",
    "fingerprint_manifest",
    "label_definition",
    "positive_weights",
    "read_manifest",
    "write_fairseq_manifest",
    "write_manifest",
    "write_reference_manifest",
]
