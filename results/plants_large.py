"""python results/plants_large.py: the published pipeline's network, built and trained for one step at 32 px.

No weights and no data are needed; it takes about 4 GB of memory. Prints what must equal the report's figure 5.
"""

import time

import torch

from foveate.models.build import build_network
from foveate.models.freeze import apply_trainable, set_modes
from foveate.models.summary import summarise_network
from foveate.papers.plants.recipes import plants
from foveate.training.optimizers import build_optimizer, parameter_groups

SIZE = 32


def main() -> None:
    """Build, freeze, one step; how far the trainable and the frozen part moved."""
    experiment = plants(large=True)
    phase = experiment.training.phases[0]
    config = experiment.model.model_copy(update={"weights": "none"})
    model = build_network(config, classes=8, size=SIZE, seed=0)
    print(summarise_network(model).text())
    frozen = apply_trainable(model, phase.trainable)
    print(*frozen.words(phase.trainable), sep="; ")
    print(f"frozen {frozen.frozen:,}, trainable {frozen.trainable:,}")
    set_modes(model, phase.trainable)
    optimizer = build_optimizer(phase.optimizer, parameter_groups(model, 0.0, {}, None), phase.lr)
    before = {name: p.detach().double().sum().item() for name, p in model.named_parameters()}
    started = time.perf_counter()
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    loss = (
        torch.nn.functional.cross_entropy(model(images).logits, torch.tensor([0, 7])) + model.head.penalty()
    )
    loss.backward()
    optimizer.step()
    print(f"one step: loss {loss.item():.3f}, {time.perf_counter() - started:.1f} s")
    moved = {n for n, p in model.named_parameters() if p.detach().double().sum().item() != before[n]}
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    print(
        f"{len(moved & learning)} of {len(learning)} trainable tensors moved, {len(moved - learning)} frozen ones"
    )


if __name__ == "__main__":
    main()
