"""Import torchvision safely beside a torch of another build.

The torchvision wheel on package indexes is a CUDA build. Beside a CPU-only torch its compiled operators do not load,
and ``import torchvision`` stops with "operator torchvision::nms does not exist" because it registers shape functions
for operators that nobody declared. Declaring the two schemas is enough: transforms, tv_tensors and timm work; the
detection operators themselves, which we do not use, stay unavailable. On a matching pair nothing is done.

Use ``from foveate.core.torchvision_guard import transforms_v2, tv_tensors`` or import this module before timm.
"""

import sys

import torch

from foveate.core.memory import keep_freed_memory

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# Kept alive for the life of the process: a Library that is collected takes its schemas away again.
_declared: list[torch.library.Library] = []


def _import_torchvision() -> None:
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS.values():
            library.define(schema)
        _declared.append(library)
        import torchvision  # noqa: F401


_import_torchvision()
keep_freed_memory()  # here begins all that needs it, and nothing that a command without torch waits for

from torchvision import datasets, tv_tensors  # noqa: E402
from torchvision.transforms import v2 as transforms_v2  # noqa: E402

__all__ = ["datasets", "transforms_v2", "tv_tensors"]
