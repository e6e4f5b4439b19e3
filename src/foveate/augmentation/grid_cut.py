"""The best mask of three levels on a grid, exactly: a minimum cut, of all pictures of a batch at once."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

SCALE = 10_000_000
"""Flows are whole numbers: so many are the cost 1."""
NEVER = 2_000_000_000


def best_levels(costs: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Levels z in {0, 1/2, 1} with the smallest sum of costs(z) and of weight (z - z')^2 over all neighbours.

    Each cell has two binary variables, z >= 1/2 and z >= 1. (z - z')^2 becomes a quarter of the number of unequal
    pairs among the four of two cells, and parts that belong to one cell.

    Args:
        costs: (B, n, m, 3), of the levels 0, 1/2, 1.
        across: (B, n, m - 1) >= 0, weights between neighbours in a row.
        down: (B, n - 1, m) >= 0, in a column.

    Returns:
        (B, n, m) float64.
    """
    shape = costs.shape[:3]
    cell = np.arange(np.prod(shape)).reshape(shape)
    pairs = [(cell[:, :, :-1], cell[:, :, 1:], across), (cell[:, :-1], cell[:, 1:], down)]
    first, second, weight = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in range(3))
    own = np.stack([costs[..., 1] - costs[..., 0], costs[..., 2] - costs[..., 1]]).reshape(2, -1)
    around = np.bincount(first, weight, cell.size) + np.bincount(second, weight, cell.size)
    own += around / 4 * np.array([[-1], [1]])
    half, full = cell.ravel(), cell.ravel() + cell.size
    source, sink = 2 * cell.size, 2 * cell.size + 1
    edges = [(full, half, np.full(cell.size, NEVER))]  # z >= 1 without z >= 1/2
    for nodes, value in ((half, own[0]), (full, own[1])):
        units = np.rint(value * SCALE).astype(np.int64)
        edges.append((nodes, np.full(cell.size, sink), units.clip(min=0)))
        edges.append((np.full(cell.size, source), nodes, (-units).clip(min=0)))
    units = np.rint(weight / 4 * SCALE).astype(np.int64)
    for a in (first, first + cell.size):
        for b in (second, second + cell.size):
            edges += [(a, b, units), (b, a, units)]
    start, end, capacity = (np.concatenate([edge[k] for edge in edges]) for k in range(3))
    size = (sink + 1, sink + 1)
    graph = coo_array((capacity.astype(np.int32), (start, end)), shape=size).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = left.data.clip(min=0)
    left.eliminate_zeros()
    reached = np.zeros(sink + 1)
    reached[breadth_first_order(left, source, return_predecessors=False)] = 1
    return (reached[half] + reached[full]).reshape(shape) / 2
