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
    swept: bool = False
    """Whether it is measured at several thresholds, (B, T), of which the best one of a whole data set counts."""
