"""Puzzle Mix: the mask that keeps the salient parts of both pictures, and parts moved to where the mask shows them."""

from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.grid_cut import best_levels
from foveate.augmentation.guidance import GuidedConfig, guide, input_gradient, loss_gradient
from foveate.augmentation.mixing import Mix, partner_of, paste
from foveate.data.batch import Batch


class PuzzleMix(Mix):
    """The mask of three levels that keeps most salience of two pictures, and their parts moved to where it shows them.

    On a grid of n x n blocks, n drawn once a batch: z, the own share of a block, is 0, 1/2 or 1 and minimises

        sum_i (1 - z_i) a_i + z_i b_i  +  sum_(i, j) w_ij (z_i - z_j)^2  -  eta / n^2 sum_i log P(z_i)

    a, b: salience of the blocks of both pictures, each of sum 1; w_ij = beta / 16 n (1 + gamma d_ij), d_ij: how much
    more the colours of i and j differ between the pictures than within them; P: the Binomial of (2, lambda), lambda ~
    Beta(alpha, alpha). The minimum is exact (a cut). Then cells of a finer grid are moved where z shows their picture:
    each to the free cell with the least ``cost`` distance^2 - salience z. Label weights are the means of the mask.

    Own map: the norm of the cross-entropy's gradient at each pixel. Source: Kim et al., Puzzle Mix, ICML 2020; without
    its loss on unmixed pictures. Pictures and masks of the batch are changed in place; the
    mask of the mixture is known where both masks are.
    """

    class Config(GuidedConfig):
        kind: Literal["puzzle_mix"] = "puzzle_mix"
        alpha: float = Field(default=1.0, gt=0)
        """Of the Beta distribution."""
        blocks: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(default=(2, 4, 8, 16), min_length=1)
        """Blocks along each side, one of these."""
        beta: float = Field(default=1.2, ge=0)
        """Price of unequal neighbours."""
        gamma: float = Field(default=0.5, ge=0)
        """How far the price grows where the pictures differ in colour."""
        eta: float = Field(default=0.2, ge=0)
        """Weight of lambda."""
        transport: bool = True
        """Whether parts are moved."""
        cells: int = Field(default=8, ge=1, le=32)
        """Cells along each side of the grid on which they are moved, at least as many as blocks (4 of 32 pixels)."""
        cost: float = Field(default=0.8, ge=0)
        """Of moving, for the square of the distance in sides of the picture."""

        adversarial: float = Field(default=0.0, ge=0, le=1)
        """Probability of adversarial noise, for either side of a batch's pairs (0.1 in the paper's variant)."""
        epsilon: float = Field(default=10 / 255, gt=0, le=1)
        """Largest noise of a pixel whose values go from 0 to 1."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        config = self.config
        size = (batch.images.shape[2], batch.images.shape[3])
        blocks = min(int(rng.choice(config.blocks)), *size)
        kept = float(rng.beta(config.alpha, config.alpha))
        partner = partner_of(batch, rng)
        maps = guide(config, loss_gradient, model, batch)[:, None]
        salience = self.shares(maps, blocks)
        costs = level_costs(salience, salience[partner], kept, config.eta)
        std: Any = model.std
        colours = F.adaptive_avg_pool2d(batch.images * std.to(maps).view(1, 3, 1, 1), blocks)
        weights = [
            config.beta / (16 * blocks) * (1 + config.gamma * differences(colours, colours[partner], dim))
            for dim in (3, 2)
        ]
        levels = best_levels(*(values.double().cpu().numpy() for values in (costs, *weights)))
        own = torch.from_numpy(levels).to(maps)[:, None]
        images, masks = batch.images[partner], batch.masks[partner]
        noisy = rng.random(2) < config.adversarial if config.adversarial else np.zeros(2, dtype=bool)
        if noisy.any():
            noise = adversarial_noise(model, batch, config.epsilon, rng)
            batch.images.add_(noise, alpha=float(noisy[0]))
            images.add_(noise[partner], alpha=float(noisy[1]))
        if config.transport:
            cells = min(max(config.cells, blocks), *size)
            fine = F.interpolate(own, (cells, cells), mode="nearest-exact")
            for values, shown, rows in (
                ((batch.images, batch.masks), fine, slice(None)),
                ((images, masks), 1 - fine, partner),
            ):
                plan = transport(self.shares(maps, cells)[rows], shown[:, 0], config.cost)
                for value in values:
                    value.copy_(moved(value, plan))
        place = 1 - F.interpolate(own, size, mode="nearest-exact")
        return paste(batch, partner, place, self.classes, images=images, masks=masks)

    @staticmethod
    def shares(maps: torch.Tensor, cells: int) -> torch.Tensor:
        """(B, cells, cells) of sum 1, from maps (B, 1, H, W)."""
        pooled = F.adaptive_avg_pool2d(maps, cells)[:, 0] + 1e-12
        return pooled / pooled.sum(dim=(1, 2), keepdim=True)


def adversarial_noise(
    model: nn.Module, batch: Batch, epsilon: float, rng: np.random.Generator
) -> torch.Tensor:
    """(B, 3, H, W) to be added: one step up the loss from a random start, at most ``epsilon``, times U(0, 1)."""
    known: Any = model
    mean, std = (value.to(batch.images).view(1, 3, 1, 1) for value in (known.mean, known.std))
    pixels = batch.images * std + mean
    start = (2 * torch.from_numpy(rng.random(pixels.shape)).to(pixels) - 1) * epsilon
    start = (pixels + start).clamp(0, 1) - pixels
    uphill = input_gradient(model, batch.replace(images=batch.images + start / std)).sign()
    found = (start + (epsilon + 2 / 255) * uphill).clamp(-epsilon, epsilon) * float(rng.random())
    return ((pixels + found).clamp(0, 1) - pixels) / std


def level_costs(own: torch.Tensor, other: torch.Tensor, kept: float, eta: float) -> torch.Tensor:
    """(B, n, n, 3): what the levels 0, 1/2, 1 of the own share cost a block."""
    chance = torch.tensor([(1 - kept) ** 2, 2 * kept * (1 - kept), kept**2]).to(own)
    level = torch.tensor([0.0, 0.5, 1.0]).to(own)
    prior = -eta * (chance + 1e-8).log() / own[0].numel()
    return (1 - level) * own[..., None] + level * other[..., None] + prior


def differences(own: torch.Tensor, other: torch.Tensor, dim: int) -> torch.Tensor:
    """How much more neighbours along ``dim`` differ between pictures than within: colours (B, 3, n, n), >= 0."""

    def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        length = a.shape[dim] - 1
        return (a.narrow(dim, 0, length) - b.narrow(dim, 1, length)).abs().mean(dim=1)

    return ((apart(own, other) + apart(other, own) - apart(own, own) - apart(other, other)) / 2).clamp(min=0)


def transport(salience: torch.Tensor, shown: torch.Tensor, cost: float) -> torch.Tensor:
    """(B, n n) int64: which cell each cell shows, from salience and share shown (B, n, n).

    Every cell goes to its cheapest place; where several meet the cheapest stays and the place costs the others 1 more;
    n rounds. A place that nobody won shows its own cell.
    """
    count, side = salience.shape[0], salience.shape[1]
    line = torch.arange(side, device=salience.device, dtype=salience.dtype) / side
    at = torch.cartesian_prod(line, line).view(-1, 2)
    price = cost * torch.cdist(at, at).square() - salience.view(count, -1, 1) * shown.view(count, 1, -1)
    for _ in range(side):
        wish = torch.zeros_like(price).scatter_(2, price.argmin(dim=2, keepdim=True), 1.0)  # (B, from, to)
        best = torch.where(wish > 0, price, torch.inf).argmin(dim=1, keepdim=True)
        won = torch.zeros_like(price).scatter_(1, best, 1.0) * wish
        price = price + (wish - won)
    source = won.argmax(dim=1)
    itself = torch.arange(side * side, device=salience.device)
    return torch.where(won.amax(dim=1) > 0, source, itself)


def moved(values: torch.Tensor, plan: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) with its cells in the places of the plan (B, n n)."""
    side = round(plan.shape[1] ** 0.5)
    height, width = values.shape[2:]
    row = torch.arange(height, device=plan.device) * side // height
    column = torch.arange(width, device=plan.device) * side // width
    source = plan[:, (row[:, None] * side + column).flatten()].view(-1, height, width)
    ends = []
    for place, cell, target, end in (
        (torch.arange(height, device=plan.device)[:, None], source // side, row[:, None], height),
        (torch.arange(width, device=plan.device), source % side, column, width),
    ):
        shift = ((cell - target).double() * end / side).round().long()
        ends.append((place + shift).clamp(0, end - 1))
    flat = (ends[0] * width + ends[1]).flatten(1)[:, None].expand(-1, values.shape[1], -1)
    return values.flatten(2).gather(2, flat).view_as(values)
