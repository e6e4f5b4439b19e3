"""Flowers-102 (Nilsback and Zisserman, 2008)."""

from foveate.data.layouts.layout import Folder, Layout, Published, Row, number_of

SPLITS = {"trnid": "train", "valid": "val", "tstid": "test"}
NAMES = """
pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid,
bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris,
globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily, pincushion flower,
fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke,
sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped cattleya,
cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword lily, poinsettia,
bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy, primula,
sunflower, pelargonium, bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia?, cautleya spicata,
japanese anemone, black-eyed susan, silverbush, californian poppy, osteospermum, spring crocus, bearded iris,
windflower, tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus,
toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen,
watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow,
mexican petunia, bromelia, blanket flower, trumpet creeper, blackberry lily
"""


class Flowers(Layout):
    """Masks are the segmentations (what is not painted blue), which are an archive of their own."""

    name = "Flowers-102"
    marks = (("setid.mat", "imagelabels.mat", "jpg/"),)
    torchvision = "Flowers102"
    page = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
    licence = "none stated; photographs from the web"

    def read(self, folder: Folder, label: str) -> Published:
        classes = [name.strip() for name in NAMES.replace("\n", " ").split(",")]
        (labels,) = folder.mat("imagelabels.mat", "labels")
        rows = []
        for variable, numbers in zip(SPLITS, folder.mat("setid.mat", *SPLITS), strict=True):
            for entry, number in enumerate(numbers, start=1):
                where = f"{folder.root / 'setid.mat'}, {variable} {entry}"
                picture = number_of(where, number, len(labels), what="picture")
                at = f"{folder.root / 'imagelabels.mat'}, entry {picture + 1}"
                mask = f"segmim/segmim_{picture + 1:05d}.jpg"
                rows.append(
                    Row(
                        where,
                        f"jpg/image_{picture + 1:05d}.jpg",
                        number_of(at, labels[picture], len(classes)),
                        SPLITS[variable],
                        f"blue:{mask}" if mask in folder.pictures else "",
                    )
                )
        return Published(classes, rows, [str(number) for number in range(1, len(classes) + 1)])
