"""A run folder -> one self-contained HTML file."""

from foveate.reporting.report import build_report

__all__ = ["build_report"]
