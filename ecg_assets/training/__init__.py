"""A request and signals to a checkpoint: fine-tuning, pre-training, fairseq-signals.

Belongs here: requests, recipes and presets, training with transformers' Trainer, resuming, the
record of a training. Does not belong here: architectures and checkpoint files (models), manifests
(build), metrics of finished models (evaluation). Used by defs. Nothing here needs torch before a
training starts.
"""
