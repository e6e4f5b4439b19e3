"""Last layers: ways to fit the linear head again, on stored features of a network whose training is over."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from foveate.core.registry import Registry, by_kind
from foveate.last_layer.afr import AutomaticReweighting
from foveate.last_layer.dfr import DeepFeatureReweighting
from foveate.last_layer.last_layer import LastLayer
from foveate.last_layer.ridge import Ridge
from foveate.last_layer.selective import SelectiveFinetuning
from foveate.last_layer.swapped import Swapped

# A new way: one class in one file, one line here.
LAST_LAYERS = Registry(
    "last layer",
    DeepFeatureReweighting,
    AutomaticReweighting,
    SelectiveFinetuning,
    Swapped,
    Ridge,
)

if TYPE_CHECKING:
    AnyLastLayerConfig = Any
else:
    AnyLastLayerConfig = Annotated[LAST_LAYERS.settings, BeforeValidator(by_kind)]

__all__ = ["LAST_LAYERS", "AnyLastLayerConfig", "LastLayer"]
