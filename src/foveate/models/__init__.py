"""Networks: timm backbone + head, taps, freezing, weights in and out. Importing it registers our own backbones."""

from foveate.models import plain as plain
