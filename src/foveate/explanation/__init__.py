"""Where does a network look? ``explain`` and the table of methods; metrics of maps; what a class looks like."""

from foveate.explanation.explain import explain
from foveate.explanation.explainer import Explainer
from foveate.explanation.table import EXPLAINERS

__all__ = ["EXPLAINERS", "Explainer", "explain"]
