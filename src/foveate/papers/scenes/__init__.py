"""The 15-Scene report: supervised against self-supervised, and its visualisations."""
