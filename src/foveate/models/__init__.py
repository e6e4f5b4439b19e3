"""Networks: timm backbone + head, taps, freezing, weights in and out. Importing it registers ours."""

from foveate.models import inception_like as inception_like
from foveate.models import small_cnn as small_cnn
from foveate.models import three_conv as three_conv
