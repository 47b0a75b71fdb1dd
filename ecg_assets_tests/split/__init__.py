"""Tests of ecg_assets.split."""
