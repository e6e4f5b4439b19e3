"""Every explainer by name. A new one: one class in one file of this package, one line here."""

from foveate.explanation.attention import AttentionRollout, TransformerRelevance
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
from foveate.explanation.lrp import LRP
from foveate.explanation.occlusion import Occlusion
from foveate.explanation.rise import Rise
from foveate.explanation.scorecam import ScoreCam

EXPLAINERS: dict[str, type[Explainer]] = {
    "gradcam": GradCam,
    "gradcam++": GradCamPlusPlus,
    "xgradcam": XGradCam,
    "hirescam": HiResCam,
    "layercam": LayerCam,
    "eigencam": EigenCam,
    "eigengradcam": EigenGradCam,
    "scorecam": ScoreCam,
    "occlusion": Occlusion,
    "rise": Rise,
    "lrp": LRP,
    "attention_rollout": AttentionRollout,
    "transformer_relevance": TransformerRelevance,
}
