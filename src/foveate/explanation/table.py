"""Every explainer by name. A new one: one class in one file of this package, one line here."""

from foveate.explanation.ablation import AblationCam
from foveate.explanation.attention import AttentionRollout, TransformerRelevance
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
from foveate.explanation.deeplift import DeepLift, DeepLiftShap
from foveate.explanation.explainer import Explainer
from foveate.explanation.fullgrad import FullGrad
from foveate.explanation.gradients import Gradient, InputXGradient
from foveate.explanation.lime import Lime
from foveate.explanation.lrp import LRP
from foveate.explanation.modified import DeconvNet, GuidedBackprop, GuidedGradCam
from foveate.explanation.occlusion import Occlusion
from foveate.explanation.paths import Conductance, IntegratedGradients, InternalInfluence
from foveate.explanation.rise import Rise
from foveate.explanation.scorecam import ScoreCam
from foveate.explanation.shap import GradientShap, KernelShap
from foveate.explanation.smooth import SmoothGrad, SmoothGradSquared, VarGrad

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
    "gradient": Gradient,
    "input_x_gradient": InputXGradient,
    "deconvnet": DeconvNet,
    "guided_backprop": GuidedBackprop,
    "guided_gradcam": GuidedGradCam,
    "smoothgrad": SmoothGrad,
    "smoothgrad_squared": SmoothGradSquared,
    "vargrad": VarGrad,
    "integrated_gradients": IntegratedGradients,
    "internal_influence": InternalInfluence,
    "conductance": Conductance,
    "deeplift": DeepLift,
    "deeplift_shap": DeepLiftShap,
    "gradient_shap": GradientShap,
    "kernel_shap": KernelShap,
    "lime": Lime,
    "fullgrad": FullGrad,
    "lrp": LRP,
    "attention_rollout": AttentionRollout,
    "transformer_relevance": TransformerRelevance,
}
