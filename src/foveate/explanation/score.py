"""What a score of maps is called, and which direction is good: the rows of every table of scores."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Score:
    """One number for each picture and map."""

    name: str
    """In files."""
    title: str
    """In tables."""
    better: Literal["higher", "lower", "neither"] = "higher"
    span: tuple[float, float] | None = (0.0, 1.0)
    """Its smallest and largest possible value; None: no bounds."""
    swept: bool = False
    """Whether it is measured at several thresholds, (B, T), of which the best one of a whole data set counts."""
