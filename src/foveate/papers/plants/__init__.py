"""The plant-species report: a small, unbalanced set, from scratch to fine-tuned."""
