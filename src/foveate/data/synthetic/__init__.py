"""The embedded data set: look-alike beetles on tempting grounds, drawn by code, with masks.

Species of the invented genus *Pareidolus* share shape, size, colour and pose; only a small mark on the wing
cases tells them apart. In training each species can be tied to a background of its own, so that a network
is tempted to look at the wrong thing; in test the background says nothing.
"""

from foveate.data.synthetic.backgrounds import BACKGROUNDS
from foveate.data.synthetic.dataset import (
    Planned,
    SyntheticConfig,
    draw_planned,
    mark_path,
    own_background,
    plan,
    read_backgrounds,
    write_dataset,
)
from foveate.data.synthetic.marks import SPECIES, Species
from foveate.data.synthetic.pictures import Picture, draw_picture

__all__ = [
    "BACKGROUNDS",
    "Picture",
    "Planned",
    "SPECIES",
    "Species",
    "SyntheticConfig",
    "draw_picture",
    "draw_planned",
    "mark_path",
    "own_background",
    "plan",
    "read_backgrounds",
    "write_dataset",
]
