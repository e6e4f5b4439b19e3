"""Every explainer by name. A new one: one class in one file of this package, one line here."""

from foveate.explanation.cam import (
    EigenCam,
    EigenGradCam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    XGradCam,
)
from foveate.explanation.explainer import Explainer

EXPLAINERS: dict[str, type[Explainer]] = {
    "gradcam": GradCam,
    "gradcam++": GradCamPlusPlus,
    "xgradcam": XGradCam,
    "hirescam": HiResCam,
    "layercam": LayerCam,
    "eigencam": EigenCam,
    "eigengradcam": EigenGradCam,
}
