"""How were the pieces shuffled: the picture is cut into tiles, which change places."""

from itertools import permutations
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field

from foveate.core.errors import DataError
from foveate.pretext.task import Normal, Question, Task, TaskConfig


class Jigsaw(Task):
    """Tell in which of some orders the tiles of a picture were put back.

    Every tile is cut smaller than its place and lies at a random spot of it, on grey; otherwise lines that go on from
    one tile to the next would give the answer. Source: Noroozi and Favaro, Unsupervised learning of visual
    representations by solving jigsaw puzzles, ECCV 2016; one network that sees the whole puzzle as one picture:
    Carlucci et al., Domain generalization by solving jigsaw puzzles, CVPR 2019.
    """

    class Config(TaskConfig):
        kind: Literal["jigsaw"] = "jigsaw"
        every: bool = False
        """Each picture in all orders in every epoch, or in one that is drawn."""
        grid: int = Field(default=3, ge=2, le=4)
        """Tiles in a row and in a column."""
        orders: int = Field(default=24, ge=2, le=1000)
        """How many orders are told apart; the first is the picture itself. They are chosen far from each other."""
        gap: float = Field(default=0.15, ge=0, lt=0.9)
        """Share of a place's side that its tile leaves free."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.orders = far_orders(config.grid**2, config.orders)
        self.classes = tuple(f"order {k}" for k in range(len(self.orders)))

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """The tiles in order ``label``: place k holds the tile that was at ``orders[label][k]``.

        Raises:
            DataError: the picture is too small for the grid.
        """
        grid = self.config.grid
        place = image.shape[-1] // grid
        side = place - round(self.config.gap * place)
        if side < 2:
            raise DataError(
                f"A picture of {image.shape[-1]} px is too small for {grid} x {grid} tiles; lower task.grid."
            )
        puzzle = torch.full_like(image, 128)
        for k, tile in enumerate(self.orders[label]):
            (from_y, from_x), (to_y, to_x) = divmod(int(tile), grid), divmod(k, grid)
            y, x, up, left = (int(v) for v in rng.integers(0, place - side + 1, size=4))
            top, edge, to_top, to_edge = (
                cell * place + moved for cell, moved in ((from_y, y), (from_x, x), (to_y, up), (to_x, left))
            )
            piece = image[:, top : top + side, edge : edge + side]
            puzzle[:, to_top : to_top + side, to_edge : to_edge + side] = piece
        return puzzle, label


def far_orders(tiles: int, count: int) -> np.ndarray:
    """(count, tiles) permutations, each the farthest (Hamming distance) from those before it; the identity first.

    Of very many permutations a fixed sample of 5000 is searched, so the choice is the same everywhere.

    Raises:
        DataError: there are fewer permutations than that.
    """
    if tiles <= 7:
        pool = np.array(list(permutations(range(tiles))))
    else:
        rng = np.random.Generator(np.random.PCG64(0))
        pool = np.unique([np.arange(tiles), *(rng.permutation(tiles) for _ in range(5000))], axis=0)
    if count > len(pool):
        raise DataError(f"{tiles} tiles have {len(pool)} orders only; lower task.orders from {count}.")
    chosen = [np.arange(tiles)]
    nearest = np.full(len(pool), tiles + 1)
    while len(chosen) < count:
        nearest = np.minimum(nearest, (pool != chosen[-1]).sum(axis=1))
        chosen.append(pool[int(nearest.argmax())])
    return np.stack(chosen)
