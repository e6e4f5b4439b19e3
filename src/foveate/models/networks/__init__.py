"""Networks: what a run trains."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from foveate.core.registry import Registry, by_kind
from foveate.models.networks.attention_branch import AttentionBranch
from foveate.models.networks.cal import Cal
from foveate.models.networks.classifier import Classifier
from foveate.models.networks.cut_out import CutOut
from foveate.models.networks.fbsd import Fbsd
from foveate.models.networks.map_pooling import Attention, Bilinear
from foveate.models.networks.mmal import Mmal
from foveate.models.networks.network import Network, NetworkConfig

# A new network: one class in one file, one line here.
NETWORKS = Registry(
    "network",
    Classifier,
    Fbsd,
    Mmal,
    Cal,
    Bilinear,
    Attention,
    AttentionBranch,
    CutOut,
)

if TYPE_CHECKING:
    AnyNetworkConfig = Any
else:
    AnyNetworkConfig = Annotated[NETWORKS.settings, BeforeValidator(by_kind)]

__all__ = [
    "NETWORKS",
    "AnyNetworkConfig",
    "Attention",
    "AttentionBranch",
    "Bilinear",
    "Cal",
    "Classifier",
    "CutOut",
    "Fbsd",
    "Mmal",
    "Network",
    "NetworkConfig",
]
