"""A run folder, or a study's results -> one self-contained HTML file."""
