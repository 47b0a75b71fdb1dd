"""Tests of ecg_assets.finetune."""
