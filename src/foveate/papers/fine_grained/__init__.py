"""The fine-grained report: FBSD and MMAL-Net, beside CAL and the ordinary network."""
