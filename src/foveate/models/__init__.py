"""Networks: timm backbone + head, taps, freezing, weights in and out. Importing it registers ours."""

from foveate.models import plain as plain
