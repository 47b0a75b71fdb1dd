"""Fine-tuning by fairseq-signals itself, in an interpreter of its own: nothing is imported."""
