"""Networks: timm backbone + head, taps, freezing, weights in and out. Importing it registers our plain one."""

from foveate.models import small_cnn as small_cnn
