"""Tests of ecg_assets.pretrain."""
