"""Every explainer by name. A new one: one class in one file of this package, one line here."""

from foveate.core.registry import Registry
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
    NormGrad,
    XGradCam,
)
from foveate.explanation.deepfool import DeepFool
from foveate.explanation.deeplift import DeepLift, DeepLiftShap
from foveate.explanation.fullgrad import FullGrad
from foveate.explanation.gradients import Gradient, InputXGradient
from foveate.explanation.lime import Lime
from foveate.explanation.lrp import LRP
from foveate.explanation.modified import DeconvNet, GuidedBackprop, GuidedGradCam
from foveate.explanation.occlusion import Occlusion
from foveate.explanation.paths import (
    Conductance,
    ExpectedGradients,
    IntegratedGradients,
    InternalInfluence,
)
from foveate.explanation.rise import Rise
from foveate.explanation.scorecam import ScoreCam
from foveate.explanation.shap import GradientShap, KernelShap
from foveate.explanation.smooth import SmoothGrad, SmoothGradSquared, VarGrad

EXPLAINERS = Registry(
    "explanation method",
    Cam,
    GradCam,
    GradCamPlusPlus,
    XGradCam,
    HiResCam,
    LayerCam,
    NormGrad,
    EigenCam,
    EigenGradCam,
    ScoreCam,
    AblationCam,
    Occlusion,
    Rise,
    Gradient,
    InputXGradient,
    DeepFool,
    DeconvNet,
    GuidedBackprop,
    GuidedGradCam,
    SmoothGrad,
    SmoothGradSquared,
    VarGrad,
    IntegratedGradients,
    ExpectedGradients,
    InternalInfluence,
    Conductance,
    DeepLift,
    DeepLiftShap,
    GradientShap,
    KernelShap,
    Lime,
    FullGrad,
    LRP,
    AttentionRollout,
    TransformerRelevance,
)
