"""A run folder, or a study's results -> one self-contained HTML file."""

from foveate.reporting.report import build_report
from foveate.reporting.study import build_study_report, write_figures

__all__ = ["build_report", "build_study_report", "write_figures"]
