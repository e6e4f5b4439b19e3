"""Every explainer by name. A new one: one class in one file of this package, one line here."""

from foveate.core.registry import Registry
from foveate.explanation.activations import DeconvNet, GuidedBackprop, GuidedGradCam
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
from foveate.explanation.deeplift import DeepLift, DeepLiftShap
from foveate.explanation.fullgrad import FullGrad
from foveate.explanation.gradients import DeepFool, Gradient, InputXGradient
from foveate.explanation.lrp import LRP
from foveate.explanation.occlusion import Occlusion, Rise
from foveate.explanation.paths import (
    Conductance,
    ExpectedGradients,
    GradientShap,
    IntegratedGradients,
    InternalInfluence,
)
from foveate.explanation.scorecam import AblationCam, ScoreCam
from foveate.explanation.smooth import SmoothGrad, SmoothGradSquared, VarGrad
from foveate.explanation.superpixels import KernelShap, Lime

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
