"""Tests of ecg_assets.evaluation.report."""
