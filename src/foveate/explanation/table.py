"""Every explainer by name. A new one: one class in one file of this package, one line here."""

from foveate.explanation.ablation import AblationCam
from foveate.explanation.cam import (
    Cam,
    EigenCam,
    EigenGradCam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    XGradCam,
)
from foveate.explanation.explainer import Explainer
from foveate.explanation.occlusion import Occlusion
from foveate.explanation.rise import Rise
from foveate.explanation.scorecam import ScoreCam

EXPLAINERS: dict[str, type[Explainer]] = {
    "cam": Cam,
    "gradcam": GradCam,
    "gradcam++": GradCamPlusPlus,
    "xgradcam": XGradCam,
    "hirescam": HiResCam,
    "layercam": LayerCam,
    "eigencam": EigenCam,
    "eigengradcam": EigenGradCam,
    "scorecam": ScoreCam,
    "ablationcam": AblationCam,
    "occlusion": Occlusion,
    "rise": Rise,
}
