"""A trained network answers on a page of this computer, and learns from masks that are drawn there."""
