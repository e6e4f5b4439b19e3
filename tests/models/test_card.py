"""Cards: read what others wrote, refuse what is wrong."""

from pathlib import Path

import pytest

from foveate.core.errors import WeightsError
from foveate.core.files import write_json, write_text
from foveate.models.card import Card, read_card


def test_reads_the_card_beside_the_file(tmp_path: Path) -> None:
    write_json(
        tmp_path / "net.v2.json",
        {
            "architecture": "mobilenetv2_035",
            "architecture_kwargs": {"pad_type": "same", "bn_eps": 0.001},
            "pretrained_on": "ImageNet-1k",
            "classes": None,
            "features": 1280,
            "input_size": [3, 224, 224],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "absent": ["classifier"],
        },
    )
    card = read_card(tmp_path / "net.v2.safetensors")
    assert card is not None
    assert card.architecture_kwargs == {"pad_type": "same", "bn_eps": 0.001}
    assert (card.input_size, card.absent, card.head) == ((3, 224, 224), ("classifier",), None)
    assert Card.model_validate(card.model_dump(mode="json")) == card


def test_no_card(tmp_path: Path) -> None:
    assert read_card(tmp_path / "net.safetensors") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds a list"),
        ("{}", "architecture is missing"),
        ('{"architecture": "resnet18", "men": [0, 0, 0]}', "men is no setting"),
        ('{"architecture": "resnet18", "mean": [0.5]}', "mean"),
        ('{"architecture": "resnet18", "schema_version": 99}', "schema_version"),
        ('{"architecture": "resnet18", "mean": [NaN, 0, 0]}', "NaN"),
        ('{"architecture": "resnet18", "mean": [123.7, 116.3, 103.5]}', "mean"),
        ('{"architecture": "resnet18", "std": [0.2, 0, 0.2]}', "std"),
        ('{"architecture": "resnet18", "input_size": [3, 1000000, 1000000]}', "input_size"),
        ('{"architecture": "resnet18", "input_size": [1, 224, 224]}', "input_size"),
        ('{"architecture": "resnet18", "input_size": [3, -1, 224]}', "input_size"),
        ('{"architecture": "resnet18", "classes": 0}', "classes"),
        (
            '{"architecture": "resnet18", "classes": 2, "class_names": ["a"]}',
            "class_names holds 1 names for 2",
        ),
    ],
)
def test_wrong_cards_are_refused(tmp_path: Path, text: str, words: str) -> None:
    write_text(tmp_path / "net.json", text)
    with pytest.raises(WeightsError, match=words):
        read_card(tmp_path / "net.pth")
