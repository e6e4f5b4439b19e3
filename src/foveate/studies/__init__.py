"""Studies: arms x seeds, run once each, compared pair by pair."""
