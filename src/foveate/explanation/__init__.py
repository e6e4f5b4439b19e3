"""Where does a network look? ``explain`` and the table of methods; metrics of maps; what a class looks like."""

from foveate.explanation.explain import explain
from foveate.explanation.explainer import Explainer
from foveate.explanation.inversion import Inversion, invert
from foveate.explanation.superpixels import pick_pictures
from foveate.explanation.table import EXPLAINERS

__all__ = ["EXPLAINERS", "Explainer", "Inversion", "explain", "invert", "pick_pictures"]
