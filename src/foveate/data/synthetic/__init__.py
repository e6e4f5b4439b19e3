"""The embedded data set: look-alike beetles on tempting grounds, drawn by code, with masks of animal and mark."""
