"""Scores and targets to numbers with intervals: arrays in, arrays and tables out.

Belongs here: each metric, ranks, calibration, confusion, resampling of patients. Does not belong
here: checkpoints, files, reports. Used by models, training, evaluation and defs.
"""
