"""Weights in: from a local file (see ``tensor_files``) or by timm's download; always checked.

No network is touched unless ``weights`` is "pretrained".
"""

import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foveate.core import (
    manifest,
    providers,
    torchvision_guard,  # noqa: F401  (before timm)
)
from foveate.core.errors import ConfigError, WeightsError
from foveate.models.card import Card, read_card
from foveate.models.settings import ModelConfig
from foveate.models.tensor_files import some

import huggingface_hub  # isort: skip
import timm  # isort: skip

_PREFERRED = ("ema", "teacher", "encoder_q", "online")
"""Of a checkpoint's two networks of one shape, the one that is meant to be used has such a word in its name."""
_OURS = "backbone."
"""Where a network of ours has its backbone, if it keeps a second one (``cut_out``)."""
_PROBE_SECONDS = 5
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Weights:
    """Where a network's weights come from, as ``resolve_weights`` found it."""

    architecture: str
    """timm's name."""
    file: Path | None = None
    """A local file to load; None: random weights, or timm's download."""
    card: Card | None = None
    """The card beside ``file``."""
    download: bool = False
    """timm is to fetch the weights."""


def resolve_weights(config: ModelConfig) -> Weights:
    """Find out which network and which weights are meant. Looks at the disk only, never at the network.

    Raises:
        ConfigError: no network is named, timm does not know it, or it is not the one the card names.
        WeightsError: the file does not exist or its card is not valid.
        RunError: the card is a finished run's, and not as it wrote it.
    """
    providers.load()
    if config.weights in ("pretrained", "none"):
        if config.backbone is None:
            raise ConfigError(
                f"weights {config.weights!r} needs the name of a backbone; give one of timm's names."
            )
        return Weights(_known(config.backbone), download=config.weights == "pretrained")
    file = Path(config.weights).expanduser()
    if file.is_dir():
        file = _in_folder(file, config.backbone)
    if not file.is_file():
        raise WeightsError(
            f"There is no weights file {file}; give a file, a run's folder, a folder with a file for each network, "
            "'pretrained' or 'none'."
        )
    manifest.check_weights(file, (manifest.CARD,))
    card = read_card(file)
    name = config.backbone or (card.architecture if card else None)
    if name is None:
        raise ConfigError(
            f"{file} has no card ({file.stem}.json) that names its network; give the backbone's name (--backbone, as "
            "timm calls it), or put the card that came with it beside it."
        )
    if card and name.split(".")[0] != card.architecture.split(".")[0]:
        raise ConfigError(
            f"The backbone is {name!r}, but the card of {file} says {card.architecture!r}; leave the backbone out, or "
            f"give weights of {name}."
        )
    return Weights(_known(name), file, card)


def brings_backbone(weights: str) -> bool:
    """Whether these weights say which network they belong to: a file and a run do, a folder with several files not."""
    if weights in ("pretrained", "none"):
        return False
    folder = Path(weights).expanduser()
    return not folder.is_dir() or (folder / manifest.WEIGHTS).is_file()


def _in_folder(folder: Path, backbone: str | None) -> Path:
    """A run's weights, or of a folder with a file for each network that of ``backbone``, by its card or its name.

    Raises:
        ConfigError: several files, and no backbone is named.
        WeightsError: none of them is of this network, or more than one.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES)
    if brings_backbone(str(folder)) or not files:
        return folder / manifest.WEIGHTS
    cards = {file: read_card(file) for file in files}
    names = {file: card.architecture if card else file.stem for file, card in cards.items()}
    if backbone is None:
        raise ConfigError(f"{folder} holds weights of {some(list(names.values()))}; name the backbone.")
    exact = [file for file in files if names[file] == backbone]
    # Without a tag any weights of the architecture are meant.
    fitting = exact or [
        file
        for file, name in names.items()
        if name.split(".")[0] == backbone.split(".")[0] and not ("." in name and "." in backbone)
    ]
    if len(fitting) == 1:
        return fitting[0]
    found = f"more than one ({some([file.name for file in fitting])})" if fitting else "none"
    raise WeightsError(
        f"Of the weights files in {folder} {found} belongs to {backbone!r}; put it there as {backbone}.safetensors."
    )


def load_backbone(
    backbone: nn.Module, tensors: dict[str, torch.Tensor], card: Card | None, source: str
) -> list[str]:
    """Load a backbone without classifier; keys are timm's, below any prefix ("backbone." in our files, "model.",
    "encoder_q." in others').

    Returns:
        Notes for the user: what was left out and why.

    Raises:
        WeightsError: any key but the classifier's and those of the card's absent parts is missing, unexpected, of
            another shape or kind (whole numbers for fractions). Then nothing was loaded.
    """
    prefix = _prefix(backbone, tensors, source)
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    beside = [key for key in tensors if not key.startswith(prefix)]
    last = tuple(f"{name}." for name in classifier_names(backbone))
    dropped = [key for key in own if key.startswith(last)]
    given = {key: value for key, value in own.items() if key not in dropped}
    absent = absent_parts(backbone, card)
    faults = _faults(backbone.state_dict(), given, absent)
    adapt = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if faults and adapt is not None:
        # timm's own conversion: other key names, position embeddings of another size. It expects certain files.
        with suppress(LookupError, AttributeError, TypeError, ValueError, RuntimeError, AssertionError):
            adapted = {k: v for k, v in adapt(dict(given), backbone).items() if not k.startswith(last)}
            beside += _unused(given, adapted, lambda left: adapt(left, backbone))
            given, faults = adapted, _faults(backbone.state_dict(), adapted, absent)
    if faults:
        raise WeightsError(
            f"{source} does not fit {type(backbone).__name__}: {_told(faults)}.{_left_out(faults, given)}"
        )
    backbone.load_state_dict(given, strict=False)
    notes = []
    if beside and not all(key.startswith("head.") for key in beside):
        where = f"only what lies below {prefix!r}" if prefix else "the backbone's part"
        notes.append(f"Of {source} {where} was taken, not {some(beside)}.")
    elif beside or dropped:
        count = f" for {card.classes} classes" if card and card.classes else ""
        notes.append(
            f"The classifier{count} in {source} was left out ({some(beside or dropped)}); the head starts anew."
        )
    return notes


def _unused(
    given: dict[str, torch.Tensor], adapted: Mapping[str, torch.Tensor],
    adapt: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]],
) -> list[str]:  # fmt: skip
    """Keys of a file that timm's conversion leaves out: those without which it gives the same tensors."""
    kept = {tensor.untyped_storage().data_ptr() for tensor in adapted.values()}
    found = []
    for key in [key for key, tensor in given.items() if tensor.untyped_storage().data_ptr() not in kept]:
        with suppress(LookupError, AttributeError, TypeError, ValueError, RuntimeError, AssertionError):
            others = adapt({name: tensor for name, tensor in given.items() if name != key})
            same = adapted.keys() <= others.keys()
            if same and all(torch.equal(others[name], tensor) for name, tensor in adapted.items()):
                found.append(key)
    return found


def _prefix(backbone: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> str:
    """What stands before the backbone's own keys; "" where fewer than half of these are found.

    Raises:
        WeightsError: several networks fit, and no name says which is meant.
    """
    expected = backbone.state_dict().keys()
    found = Counter(
        key[:start]
        for key in tensors
        for start in (0, *(place + 1 for place, letter in enumerate(key) if letter == "."))
        if key[start:] in expected
    )
    most = max(found.values(), default=0)
    if 2 * most < len(expected):
        return ""
    best = [prefix for prefix, count in found.items() if count == most]
    chosen = best if len(best) == 1 else [p for p in best if any(word in p for word in _PREFERRED)]
    if not chosen and _OURS in best:
        return _OURS
    if len(chosen) != 1:
        raise WeightsError(
            f"{source} holds several networks that fit, below {some(best)}; save the state_dict of one of them."
        )
    return chosen[0]


def load_head(network: Any, tensors: Mapping[str, torch.Tensor], source: str) -> list[str]:
    """Load what a file holds beside the backbone into a Network: its own modules, or timm's last layer into our head.

    Returns:
        Notes for the user.

    Raises:
        WeightsError: there is none, or one of another shape.
    """
    own = {key: value for key, value in tensors.items() if not key.startswith("backbone.")}
    if len(own) == len(tensors):
        last = next(iter(classifier_names(network.backbone)), "classifier")
        kinds = [kind for kind in ("weight", "bias") if f"{last}.{kind}" in tensors]
        own = {f"head.classifier.{kind}": tensors[f"{last}.{kind}"] for kind in kinds}
    expected = {k: v for k, v in network.state_dict().items() if not k.startswith("backbone.")}
    faults = _faults(expected, own, ())
    if faults:
        raise WeightsError(f"The classifier in {source} does not fit the head: {_told(faults)}.")
    network.load_state_dict(own, strict=False)
    return [f"The classifier was taken over from {source}."]


def load_fitting(network: Any, tensors: Mapping[str, torch.Tensor], classes: int | None, source: str) -> str:
    """Load of a network for other ``classes`` what lies beside the backbone and fits, but nothing with a row a class.

    Returns:
        A note for the user: what was taken, and what starts anew.
    """
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("backbone.")}
    fitting = {
        key: tensors[key]
        for key, value in own.items()
        if key in tensors
        and tensors[key].shape == value.shape
        and (tensors[key].ndim == 0 or len(tensors[key]) != classes)
    }
    network.load_state_dict(fitting, strict=False)
    new = [key for key in own if key not in fitting]
    return (
        f"Beside the backbone {len(fitting)} of {len(own)} tensors were taken over from {source}, which was trained "
        f"for {classes} classes; {', '.join(new)} start{'s' * (len(new) == 1)} anew."
    )


def classifier_names(backbone: nn.Module) -> tuple[str, ...]:
    """Paths of timm's own last layers in this architecture ("fc", "head.fc", ...)."""
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    names = config.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def absent_parts(backbone: nn.Module, card: Card | None) -> tuple[str, ...]:
    """Parts other than the classifier that the card says the file lacks.

    Raises:
        WeightsError: the card names a part that the network does not have.
    """
    last = {"classifier", *classifier_names(backbone)}
    parts = tuple(part for part in (card.absent if card else ()) if part not in last)
    modules = dict(backbone.named_modules())
    for part in parts:
        if part not in modules:
            raise WeightsError(
                f"The card says that {part!r} is absent, but {type(backbone).__name__} has no such part."
            )
    return parts


def download_source(name: str) -> dict[str, Any]:
    """The ``pretrained_cfg_overlay`` for timm's download: a cached file if there is one, else nothing.

    Raises:
        ConfigError: timm has no weights for this network.
        WeightsError: they are not in the cache and the hub cannot be reached; says what to fetch and where to
        put it.
    """
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ConfigError(f"timm has no pretrained weights for {name!r}; use weights 'none' or a file.")
    if not config.hf_hub_id:
        return {}
    for filename in ("model.safetensors", config.hf_hub_filename, "pytorch_model.bin"):
        cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, filename) if filename else None
        if isinstance(cached, str) and not config.custom_load:
            return {"file": cached}
    # The hub client tries for most of a minute before it gives up; one short question answers sooner.
    if huggingface_hub.constants.HF_HUB_OFFLINE or not _reachable(huggingface_hub.constants.ENDPOINT):
        raise WeightsError(offline_message(name))
    return {}


def offline_message(name: str) -> str:
    """One sentence: what is missing and where to put it."""
    config: Any = timm.models.get_pretrained_cfg(name)
    place = f"{huggingface_hub.constants.ENDPOINT}/{config.hf_hub_id}" if config.hf_hub_id else config.url
    return (
        f"The pretrained weights of {name!r} are not on this machine and could not be downloaded "
        f"from {place}; fetch model.safetensors there with another machine, put it at ./{name}.safetensors "
        f"and pass --backbone {name} --weights ./{name}.safetensors (or --weights none to start from random weights)."
    )


def _reachable(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # it answered
    except OSError:
        return False


def _known(name: str) -> str:
    if not timm.is_model(name):
        import difflib

        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "`foveate list backbones` shows all names."
        raise ConfigError(f"timm knows no backbone {name!r}; {hint}")
    return name


def _left_out(faults: Mapping[str, list[str]], given: Mapping[str, torch.Tensor]) -> str:
    """What to do where whole parts are missing and nothing else is wrong."""
    parts = {key.split(".")[0] for key in faults.get("missing", ())}
    if faults.keys() != {"missing"} or parts & {key.split(".")[0] for key in given}:
        return ""
    listed = ", ".join(f'"{part}"' for part in sorted(parts))
    return (
        " Where the file was made without them, its card, a JSON file of the same name beside it, says so: "
        f'{{"architecture": NAME, "absent": [{listed}]}}.'
    )


def _told(faults: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{len(keys)} {word} ({some(keys)})" for word, keys in faults.items())


def _faults(
    expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], absent: Iterable[str]
) -> dict[str, list[str]]:
    """{sort of fault: what does not fit}; the count of batches is no weight."""
    free, counts = tuple(f"{part}." for part in absent), "num_batches_tracked"
    named: dict[str, list[str]] = {"missing": [], "unexpected": [key for key in given if key not in expected]}
    named |= {"of another shape": [], "of another kind": []}
    for key, value in expected.items():
        found = given.get(key)
        if found is None:
            if not key.startswith(free) and not key.endswith(counts):
                named["missing"].append(key)
            continue
        if found.shape != value.shape:
            named["of another shape"].append(f"{key} {tuple(found.shape)} instead of {tuple(value.shape)}")
        if found.is_floating_point() != value.is_floating_point() and not key.endswith(counts):
            kinds = f"{key} {found.dtype} instead of {value.dtype}"
            named["of another kind"].append(kinds.replace("torch.", ""))
    return {word: keys for word, keys in named.items() if keys}
