"""Asset checks: one module a stage; they return numbers when they pass, too."""

from ecg_assets.defs.checks import (
    build,
    evaluation,
    external,
    finetune,
    labels,
    preprocess,
    slices,
    sources,
    split,
)

ALL_CHECKS = [
    *sources.CHECKS,
    *labels.CHECKS,
    *split.CHECKS,
    *preprocess.CHECKS,
    *build.CHECKS,
    *finetune.CHECKS,
    *evaluation.CHECKS,
    *slices.CHECKS,
    *external.CHECKS,
]
