"""Random and damaged weights files and cards: a FoveateError, or a network that is what the file says."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from foveate.core.errors import FoveateError, WeightsError
from foveate.models.build import build_network
from foveate.models.card import Card, read_card
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.models.store import load_model, save_model

NAME = "foveate_small_cnn"
KWARGS = {"widths": [2, 3], "strides": [2, 2]}
CARD: dict[str, Any] = {
    "architecture": NAME, "architecture_kwargs": KWARGS, "classes": 4, "features": 3, "input_size": [3, 16, 16],
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.3], "absent": [],
}  # fmt: skip
FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def build(file: Path) -> Network:
    return build_network(ModelConfig(weights=str(file)), classes=2, size=None, seed=0).eval()


def with_card(
    temporary: pytest.TempPathFactory, name: str, content: bytes, card: dict[str, Any] = CARD
) -> Path:
    """A file with this content in a folder of its own, beside its card."""
    file = temporary.mktemp("weights") / name
    file.write_bytes(content)
    file.with_suffix(".json").write_text(json.dumps(card))
    return file


def made_or_refused(make: Callable[[Path], Network], path: Path) -> Network | None:
    """The network that ``make`` makes of a file or folder; None where it raises a FoveateError, and nothing else."""
    try:
        model = make(path)
    except FoveateError as error:
        event(type(error).__name__)
        return None
    event("a network")
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network of 4 classes as safetensors and as .pth, each with its card."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    config = ModelConfig(backbone=NAME, weights="none", backbone_kwargs=KWARGS)
    backbone = build_network(config, classes=4, size=16, seed=0).backbone
    tensors = {key: value.clone() for key, value in backbone.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "net.safetensors")
    torch.save(tensors, folder / "net.pth")
    (folder / "net.json").write_text(json.dumps(CARD))
    assert build(folder / "net.pth")(torch.zeros(1, 3, 16, 16)).logits.shape == (1, 2)
    return folder


damage = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "add", "move"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[str, float, int]], until: int | None = None) -> bytes:
    """Bytes flipped, cut off, added and moved, in the first ``until`` bytes."""
    data = bytearray(content)
    for kind, where, value in changes:
        place = min(int(where * (until or len(data))), max(len(data) - 1, 0))
        if kind == "flip" and data:
            data[place] ^= value
        elif kind == "cut":
            del data[place:]
        elif kind == "add":
            data[place:place] = bytes([value]) * 3
        else:
            data = data[place:] + data[:place]
    return bytes(data)


def in_safetensors(content: bytes) -> dict[str, np.ndarray]:
    """The format read by hand: eight bytes of length, JSON, values."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for key, entry in header.items():
        kind = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "I64": np.int64}.get(
            entry["dtype"], np.int32
        )
        start, stop = entry["data_offsets"]
        values = np.frombuffer(content[8 + length + start : 8 + length + stop], dtype=kind)
        found[key] = values.reshape(entry["shape"])
    return found


def assert_holds(model: Network, expected: dict[str, Any]) -> None:
    """Every floating tensor of the backbone is the file's, and the network answers."""
    for key, value in model.backbone.state_dict().items():
        if value.is_floating_point():
            assert value.isfinite().all(), key
            np.testing.assert_array_equal(
                value.numpy(), np.asarray(expected[key]).astype(np.float32), err_msg=key
            )
    assert model(torch.zeros(1, 3, 16, 16)).logits.shape == (1, 2)


@FEW
@given(changes=damage, header=st.booleans())
def test_damaged_safetensors(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, changes: Any, header: bool
) -> None:
    whole = (folder / "net.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    content = damaged(whole, changes, 8 + length if header else None)
    file = with_card(tmp_path_factory, "net.safetensors", content)
    model = made_or_refused(build, file)
    if model is None:
        return
    assert_holds(model, in_safetensors(file.read_bytes()))


entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(
            ["F32", "F16", "F64", "BF16", "I32", "I64", "BOOL", "F8_E4M3", "C64", "U8", "F99", 3]
        ),
        "shape": st.lists(st.integers(-1, 6) | st.integers(2**31, 2**63), max_size=4),
        "data_offsets": st.lists(st.integers(0, 300) | st.integers(2**31, 2**64), min_size=0, max_size=3),
    }
)


@FEW
@given(
    header=st.dictionaries(
        st.sampled_from(["stages.0.0.weight", "fc.weight", "x", "", "__metadata__"]), entries
    )
)
def test_safetensors_with_any_header(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, header: Any
) -> None:
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(300)
    file = with_card(tmp_path_factory, "net.safetensors", content)
    with pytest.raises(FoveateError):
        build(file)


@pytest.mark.filterwarnings("ignore")  # torch warns of what it finds in damaged files
@FEW
@given(changes=damage)
def test_damaged_pth(folder: Path, tmp_path_factory: pytest.TempPathFactory, changes: Any) -> None:
    content = damaged((folder / "net.pth").read_bytes(), changes)
    file = with_card(tmp_path_factory, "net.pth", content)
    model = made_or_refused(build, file)
    if model is None:
        return
    tensors = torch.load(io.BytesIO(file.read_bytes()), map_location="cpu", weights_only=True)
    assert_holds(model, tensors)


@pytest.mark.filterwarnings("ignore")
@FEW
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".safetensors", ".pth", ".bin"]))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    file = with_card(tmp_path_factory, f"net{suffix}", content)
    with pytest.raises(WeightsError):
        build(file)


# Numbers of architecture_kwargs stay small: a network of 10^9 channels is refused by the memory alone.
plain = st.none() | st.booleans() | st.integers(-3, 40) | st.floats(-10, 10) | st.text(max_size=5)
anything = st.recursive(
    plain, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3)
)
large = st.integers() | st.floats() | st.just(1e300)
kwargs = st.dictionaries(
    st.sampled_from(["widths", "strides", "drop_rate", "act_layer", "in_chans", "checkpoint_path", "x"]),
    anything,
)
changed = st.fixed_dictionaries(
    {},
    optional={
        name: anything | large | st.lists(large, max_size=4)
        for name in Card.model_fields
        if "arch" not in name
    }
    | {"architecture": st.sampled_from([NAME, "resnet18", "hf-hub:x/y", "", "nothing"]) | anything}
    | {"architecture_kwargs": st.just(KWARGS) | kwargs | anything, "more": anything},
).map(lambda values: dict(list(values.items())[-2:]))


@FEW
@given(changes=changed)
def test_any_card(folder: Path, tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    content = (folder / "net.safetensors").read_bytes()
    file = with_card(tmp_path_factory, "net.safetensors", content, CARD | changes)
    model = made_or_refused(build, file)
    if model is None:
        return
    card = read_card(file)
    assert card is not None
    assert model.mean.tolist() == pytest.approx(card.mean or model.mean.tolist())
    assert all(math.isfinite(m) and 0 <= m <= 1 for m in model.mean.tolist())
    assert all(math.isfinite(s) and 0 < s <= 1 for s in model.std.tolist())
    assert 1 <= model.input_size <= 4096
    if model.input_size < 512:
        assert model(torch.zeros(1, 3, 16, 16)).logits.isfinite().all()


@pytest.mark.slow
@FEW
@given(changes=changed)
def test_any_card_of_a_run(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("run")
    config = ModelConfig(backbone=NAME, weights="none", backbone_kwargs=KWARGS)
    model = build_network(config, classes=2, size=16, seed=0).eval()
    save_model(model, folder, class_names=["a", "b"])
    card = folder / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))
    again = made_or_refused(load_model, folder)
    if again is None:
        return
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(again(images).logits, model(images).logits)
    assert again.card.classes == 2
    assert again.card.class_names is None or len(again.card.class_names) == 2


@FEW
@given(text=st.text(max_size=80) | anything.map(json.dumps) | st.binary(max_size=40))
def test_any_text_as_a_card(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    file = tmp_path_factory.mktemp("text") / "net.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(WeightsError, match="Mend the card"):
        read_card(file.with_suffix(".safetensors"))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"act_layer": "swoosh"}, "timm cannot build 'test_resnet'"),
        ({"norm_layer": "nothing"}, "timm cannot build"),
        ({"layers": "many"}, "timm cannot build"),
        ({"channels": [8, 0, 8, 8]}, "timm cannot build|cannot take pictures"),
        ({"output_stride": 5}, "timm cannot build"),
        ({"global_pool": ""}, r"gives features of the shape \(1, 96, 2, 2\)"),
        ({"pretrained_cfg": {"url": "http://x"}}, "may not hold 'pretrained_cfg'"),
    ],
)
def test_strange_arguments_of_an_architecture(tmp_path: Path, kwargs: dict[str, Any], words: str) -> None:
    config = ModelConfig(backbone="test_resnet", weights="none", backbone_kwargs=kwargs)
    with pytest.raises(FoveateError, match=words):
        build_network(config, classes=2, size=64, seed=0)
