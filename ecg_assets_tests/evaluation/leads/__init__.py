"""Tests of ecg_assets.evaluation.leads."""
