"""Tests of ecg_assets.evaluation.matrix."""
