"""What is wrong with the pictures: ``audit(catalog)`` looks at each once and lists problems and trivial
cues."""

from foveate.data.audit.auditor import AuditConfig, audit
from foveate.data.audit.report import CODES, HARD_MINIMUM, Audit, Code, Cue, Problem

__all__ = ["Audit", "AuditConfig", "CODES", "Code", "Cue", "HARD_MINIMUM", "Problem", "audit"]
