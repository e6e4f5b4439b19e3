"""What every package may use: errors, configuration base, keyed randomness, safe files, the torchvision guard."""
