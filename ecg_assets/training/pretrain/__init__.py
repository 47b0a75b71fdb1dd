"""Signals without labels to an encoder that fine-tuning starts from."""
