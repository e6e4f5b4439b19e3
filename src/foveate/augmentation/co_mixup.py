"""Co-Mixup: several pictures mixed into as many, salient and unlike each other."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.guidance import GuidedConfig, guide, loss_gradient
from foveate.augmentation.mixing import Mix, soft_targets
from foveate.data.batch import Batch


class CoMixup(Mix):
    """Groups of pictures mixed jointly into as many mixtures that keep what is salient and differ from each other.

    Each mixture j is a grid of n x n blocks, each of which shows one of the m pictures of the group at its place. With
    l_ji the picture in block i and o_j the shares of the pictures in mixture j, the choice makes small

        sum_ji -s(l_ji, i) + beta / n^2 [neighbours unequal] - eta / n^2 log pi_j(l_ji)
        + gamma sum_j max(0, v_j - tau)

    s: salience of a block, of sum 1 for each picture; pi_j ~ Dirichlet(alpha); v_j = sum_(j' != j) o_j' A o_j the
    overlap with the other mixtures, A = (1 - omega) I + omega D, D the distance between the pictures' colours (at most
    1). Found by exchanging one block after the other, mixture by mixture, ``rounds`` times; from the pictures as they
    are. Labels are the shares. The reading of the scales (n^2, v_j) is ours.

    Own map: the norm of the cross-entropy's gradient at each pixel. Source: Kim et al., Co-Mixup, ICLR 2021; without
    its loss on unmixed pictures. The mask of a mixture is known where the masks of all its pictures are.
    """

    class Config(GuidedConfig):
        kind: Literal["co_mixup"] = "co_mixup"
        group: int = Field(default=20, ge=2, le=256)
        """Pictures that are mixed jointly, at most."""
        blocks: int = Field(default=4, ge=1, le=16)
        """Along each side."""
        beta: float = Field(default=0.32, ge=0)
        """Price of unequal neighbours."""
        gamma: float = Field(default=1.0, ge=0)
        """Price of overlap."""
        tau: float = Field(default=0.83, ge=0)
        """Overlap that costs nothing."""
        eta: float = Field(default=0.05, ge=0)
        """Weight of the drawn shares."""
        omega: float = Field(default=0.001, ge=0, le=1)
        """How far unlike pictures count as overlapping."""
        alpha: float = Field(default=2.0, gt=0)
        """Of the Dirichlet distribution."""
        rounds: int = Field(default=4, ge=1, le=32)
        """Times that every block is looked at."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        targets = soft_targets(batch, self.classes)
        size = (batch.images.shape[2], batch.images.shape[3])
        blocks, count = min(self.config.blocks, *size), len(batch)
        maps = F.adaptive_avg_pool2d(guide(self.config, loss_gradient, model, batch)[:, None], blocks)
        salience = maps.flatten(1).double().cpu().numpy() + 1e-12
        salience /= salience.sum(axis=1, keepdims=True)
        colours = F.adaptive_avg_pool2d(batch.images, blocks).flatten(1).double()
        distance = torch.cdist(colours, colours).cpu().numpy()
        distance /= max(float(distance.max()), 1e-12)
        source = np.zeros((count, blocks, blocks), dtype=np.int64)
        for rows in np.array_split(rng.permutation(count), -(-count // self.config.group)):
            prior = rng.dirichlet(np.full(len(rows), self.config.alpha), len(rows))
            terms = Terms(salience[rows], prior, distance[np.ix_(rows, rows)], self.config)
            source[rows] = rows[terms.solve()].reshape(len(rows), blocks, blocks)
        grid = F.interpolate(torch.from_numpy(source).double()[:, None], size, mode="nearest-exact")
        whose = grid[:, 0].long().to(batch.images.device)  # (B, H, W)
        shares = F.one_hot(whose.flatten(1), count).float().mean(dim=1)  # (B, B)
        y, x = (torch.arange(end, device=whose.device) for end in size)
        at = (y[:, None], x)
        return batch.replace(
            images=batch.images.permute(0, 2, 3, 1)[whose, *at].permute(0, 3, 1, 2).contiguous(),
            masks=batch.masks[:, 0][whose, *at][:, None],
            targets=shares @ targets,
            has_mask=~((shares > 0) & ~batch.has_mask).any(dim=1),
        )


class Terms:
    """What a group's mixtures cost, and the search for cheap ones.

    salience (m, n n), prior (m mixtures, m pictures), distance (m, m).
    """

    def __init__(
        self, salience: np.ndarray, prior: np.ndarray, distance: np.ndarray, config: CoMixup.Config
    ) -> None:
        count, cells = salience.shape
        self.config, self.side = config, round(cells**0.5)
        self.single = -salience.T[None] - config.eta / cells * np.log(prior + 1e-12)[:, None]  # (m, cells, m)
        self.alike = (1 - config.omega) * np.eye(count) + config.omega * distance
        place = np.arange(cells).reshape(self.side, self.side)
        pairs = [(place[:, :-1], place[:, 1:]), (place[:-1], place[1:])]
        near: list[list[int]] = [[] for _ in range(cells)]
        for a, b in ((int(a), int(b)) for p, q in pairs for a, b in zip(p.ravel(), q.ravel(), strict=True)):
            near[a].append(b)
            near[b].append(a)
        self.near = near

    def solve(self) -> np.ndarray:
        """(m, cells) int64: the picture in each block of each mixture; no single exchange is cheaper after the last."""
        count, cells, _ = self.single.shape
        config, picture = self.config, np.eye(count)
        chosen = np.repeat(np.arange(count)[:, None], cells, axis=1)
        shares = picture[chosen].mean(axis=1)  # (m, m)
        for _ in range(config.rounds):
            before = chosen.copy()
            for j in range(count):
                others = np.arange(count) != j
                among = shares[others] @ self.alike @ shares[others].T
                fixed = among.sum(axis=1) - among.diagonal()
                for i in range(cells):
                    rest = shares[j] - picture[chosen[j, i]] / cells
                    option = (rest + picture / cells) @ self.alike  # (m options, m)
                    with_j = option @ shares[others].T  # (m options, m - 1)
                    over = (with_j.sum(axis=1) - config.tau).clip(min=0)
                    over = over + (fixed + with_j - config.tau).clip(min=0).sum(axis=1)
                    same = picture[chosen[j, self.near[i]]].sum(axis=0)
                    unequal = len(self.near[i]) - same
                    price = self.single[j, i] + config.beta / cells * unequal + config.gamma * over
                    if price.min() < price[chosen[j, i]] - 1e-12:
                        chosen[j, i] = int(price.argmin())
                        shares[j] = rest + picture[chosen[j, i]] / cells
            if (chosen == before).all():
                break
        return chosen
