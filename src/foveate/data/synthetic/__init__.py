"""The embedded data set: look-alike beetles on tempting grounds, drawn by code, with masks.

Species of the invented genus *Pareidolus* share shape, size, colour and pose; only a small mark on the wing
cases tells them apart. In training each species can be tied to a background of its own, so that a network
is tempted to look at the wrong thing; in test the background says nothing.
"""

from foveate.data.synthetic.dataset import OWN_BACKGROUND, draw_planned, plan, write_dataset
from foveate.data.synthetic.grounds import BACKGROUNDS
from foveate.data.synthetic.marks import SPECIES
from foveate.data.synthetic.scene import Picture, SyntheticConfig, draw_picture

__all__ = [
    "BACKGROUNDS", "OWN_BACKGROUND", "SPECIES", "Picture", "SyntheticConfig", "draw_picture", "draw_planned", "plan",
    "write_dataset",
]  # fmt: skip
