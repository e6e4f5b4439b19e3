"""Tests unlike the training: what the screen, the reports and the tables of studies call each, and what it does."""

BACKGROUNDS = {
    "original": ("same pictures unchanged", "as photographed"),
    "swapped": (
        "swapped backgrounds",
        "the background of a picture of another class, its object painted out",
    ),
    "blurred": (
        "blurred background",
        "the own background, object painted out, as 4\u00a0×\u00a04 blended colours",
    ),
    "grey": ("grey background", "one grey everywhere"),
    "noise": ("noise background", "a random colour in every pixel"),
    "removed": ("object removed", "the object painted out from its surroundings"),
}
"""{test of ``backgrounds``: (name, what is done)}, in the order of columns and tables."""
VARIANT_TESTS = {
    "folder_backgrounds": ("backgrounds of a folder", "the object before pictures of your own"),
    "plain_colours": ("plain colours", "the object before one strong colour"),
    "textures": ("textures", "the object before stripes, checks, patches"),
    "moved_object": ("object moved and scaled", "elsewhere in its own picture, smaller, larger"),
}
"""The same of evaluators that show several variants of each picture; a new one: one line here."""
ATTACKS = {
    "fgsm": ("FGSM", "each pixel changed against the network, in one step"),
    "pgd": ("PGD", "the same in several steps"),
}
"""{the beginning of an attack's name in ``attacks``: (name, what is done)}."""


def attack_title(name: str) -> str:
    """ "fgsm_4" -> "FGSM 4/255"."""
    kind, _, strength = name.partition("_")
    return f"{ATTACKS[kind][0]} {strength}/255"
