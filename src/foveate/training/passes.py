"""One forward pass for an objective: the feature maps it wants, and the way to ask the same network again."""

from dataclasses import replace

import torch
from torch.func import functional_call

from foveate.data.batch import Batch
from foveate.models.classifier import Classifier
from foveate.models.output import Output
from foveate.objectives import Objective


def pass_through(
    objective: Objective, network: Classifier, batch: Batch, plain: Classifier | None = None
) -> Output:
    """What ``network`` says of the batch, with ``again`` set.

    Args:
        plain: the network itself where ``network`` is a wrapper of it (distributed, compiled): ``again`` goes round
            the wrapper, which counts on one pass a step.
    """
    output: Output = network(batch.images, taps=objective.taps, differentiable=objective.needs_tap_gradient)
    asked = plain if plain is not None else network
    device = batch.images.device.type
    # The objective is computed outside of autocast; a second pass has the precision of the first.
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def again(images: torch.Tensor) -> torch.Tensor:
        # In training mode BatchNorm takes the statistics of these pictures, as in the first pass, but its running
        # statistics are not to know of them: the pass runs on copies of all buffers.
        copies = {name: buffer.clone() for name, buffer in asked.named_buffers()}
        with torch.autocast(device, dtype, enabled=enabled):
            answer: Output = functional_call(asked, copies, (images,))
        return answer.logits

    return replace(output, again=again)
