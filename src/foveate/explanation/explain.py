"""explain: one call for any network and any method.

maps = explain(model, images)                                   # Grad-CAM of the predicted class
maps = explain(model, images, targets=3, method="integrated_gradients", steps=32)
maps = explain(model, images, method="scorecam", layer=["first", "second", "last"])["last"]
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, overload

import torch
from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny
from torch import nn

from foveate.core.config import parse
from foveate.core.errors import ConfigError, first_line
from foveate.explanation.explainer import PIXELS, Explainer
from foveate.explanation.maps import min_max, upsample
from foveate.explanation.probe import LOW, PREDICTED, Probe, Progress
from foveate.explanation.table import EXPLAINERS
from foveate.models.modes import untouched

PRECISIONS = ("float32", "auto", *LOW)
EVIDENCE = ("positive", "absolute")
_FAULTS = (RuntimeError, ValueError, AssertionError, TypeError, IndexError)
"""What a network raises that cannot take the pictures."""

Targets = torch.Tensor | Sequence[int] | int | None


@overload
def explain(
    model: nn.Module, images: torch.Tensor, targets: Targets = ..., method: str | Explainer = ...,
    layer: str | None = ..., **options: Any,
) -> torch.Tensor: ...  # fmt: skip
@overload
def explain(
    model: nn.Module, images: torch.Tensor, targets: Targets = ..., method: str | Explainer = ...,
    layer: Sequence[str] = ..., **options: Any,
) -> dict[str, torch.Tensor]: ...  # fmt: skip
def explain(
    model: nn.Module,
    images: torch.Tensor,
    targets: Targets = None,
    method: str | Explainer = "gradcam",
    layer: str | Sequence[str] | None = None,
    *,
    raw: bool = False,
    evidence: Literal["positive", "absolute"] = "positive",
    chunk: int | None = None,
    precision: Literal["float32", "auto", "bfloat16", "float16"] = "float32",
    seed: int = 0,
    progress: Progress | None = None,
    references: torch.Tensor | None = None,
    **settings: Any,
) -> torch.Tensor | dict[str, torch.Tensor]:
    """Where the network finds evidence for a class: (B, H, W) float32 in [0, 1], on the network's device.

    The network may be in training mode, frozen or not, with in-place activations: afterwards its modes, parameters,
    gradients, hooks and the global random states are as they were, also when an error is raised.

    Args:
        model: any network (B, 3, H, W) -> logits (B, C): timm's, ours, others; compiled or DataParallel ones are
            explained through the network inside. It may return several values, as a tuple or a dictionary, where it is
            plain which are the logits (see ``as_logits``). Networks of other numbers of channels work alike.
        images: (B, 3, H, W), normalised as the network was trained.
        targets: (B,) classes, one class for all, or None: the class that the network predicts.
        method: a name in ``EXPLAINERS``, or an object of one of its classes.
        layer: for methods that work at a feature map: "last" (None means the same), "first" (the stem), "second" (the
            first stage), "stage:K", "early", "middle", "late", or a module's path; several are computed in one pass and
            returned as a dict.
        raw: the method's own values at its own resolution, (B, h, w), not scaled.
        evidence: of signed maps (attributions) "positive" keeps what speaks for the class, "absolute" both.
        chunk: pictures in one pass through the network, which bounds the memory; None: the method's own (32 or 64).
        precision: of the forward passes of methods that need very many (Score-CAM, RISE, occlusion). "auto" tries half
            precisions on the first pictures and takes one that is faster here and changes the scores by less than 2 %
            of their spread. Gradients always have the network's own type.
        seed: of methods that draw at random; the same seed gives the same maps, whatever else is in the batch (to
            rounding: 1e-5 of the largest value).
        progress: called with (done, total) by slow methods.
        references: (R, 3, H, W), normalised: other pictures, for methods that compare with some (baseline pictures).
        settings: the method's own settings (its fields).

    Raises:
        ConfigError: an unknown method, layer, setting or class; a method that means nothing for this network; pictures
            that the network cannot take; values that are not finite, in a picture or in what comes out.
    """
    explainer = build_explainer(method, settings)
    _check(images, explainer, layer, chunk, precision=precision, evidence=evidence)
    probe = Probe(
        model, chunk=chunk or explainer.chunk, precision=precision, seed=seed, progress=progress,
        references=references,
    )  # fmt: skip
    with untouched(probe.model, in_place=explainer.in_place):
        placed = probe.place(images)
        _check_finite(
            placed, "images holds values that are not finite in picture {}; mend it or leave it out."
        )
        try:
            classes = _classes(probe, placed, targets, explainer.predicts)
            names = [layer] if layer is None or isinstance(layer, str) else list(layer)
            paths = [probe.resolve(name, placed) for name in names] if explainer.layered else []
            parts = [
                explainer(probe, placed[part], classes[part], tuple(dict.fromkeys(paths)))
                for part in probe.chunks(len(placed))
            ]
        except _FAULTS:
            _check_answers(probe, placed)
            raise
    maps = {path: torch.cat([part[path] for part in parts]).detach() for path in parts[0]}
    for found in maps.values():
        _check_finite(
            found,
            f"The map of {explainer.kind} is not finite for picture {{}}: the network's numbers overflow or are not "
            "finite themselves; look at its weights, or explain it in float32.",
        )
    if not raw:
        size = (images.shape[2], images.shape[3])
        maps = {path: scaled(found, size, evidence, explainer.signed) for path, found in maps.items()}
    if not explainer.layered:
        return maps[PIXELS]
    if layer is None or isinstance(layer, str):
        return maps[paths[0]]
    return {str(name): maps[path] for name, path in zip(names, paths, strict=True)}


def scaled(maps: torch.Tensor, size: tuple[int, int], evidence: str, signed: bool) -> torch.Tensor:
    """Raw maps (B, h, w) -> (B, H, W) in [0, 1]."""
    if signed:
        maps = maps.abs() if evidence == "absolute" else maps.clamp(min=0)
    return min_max(upsample(maps, size))


def build_explainer(method: Any, settings: Mapping[str, Any] | None = None) -> Explainer:
    """The explainer of this name, or of settings with their ``kind``; ``settings`` go over its own.

    Raises:
        ConfigError: no such method (the nearest names are given), or a setting that it does not have.
    """
    if isinstance(method, Explainer) and not settings:
        return method
    given = method.model_dump() if isinstance(method, Explainer) else method
    given = {**(given if isinstance(given, Mapping) else {"kind": given}), **(settings or {})}
    kind = str(given.get("kind", ""))
    if kind not in EXPLAINERS:
        close = difflib.get_close_matches(kind, EXPLAINERS, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(close)}?" if close else f"choose one of {', '.join(EXPLAINERS)}."
        raise ConfigError(f"There is no explanation method '{kind}'; {hint}")
    found: Explainer = parse(EXPLAINERS[kind], given, source=f"method '{kind}'")
    return found


def _each_once(methods: tuple[Explainer, ...]) -> tuple[Explainer, ...]:
    by_kind = {method.kind: method for method in methods}
    for method in methods:
        if method != by_kind[method.kind]:
            raise ValueError(f"{method.kind} is named twice, with different settings")
    return tuple(by_kind.values())


Methods = Annotated[
    tuple[Annotated[SerializeAsAny[Explainer], BeforeValidator(build_explainer)], ...],
    Field(min_length=1),
    AfterValidator(_each_once),
]
"""Of a setting: several methods, each by its name or with its settings and their ``kind``."""


def with_settings(values: Any) -> Any:
    """Settings beside the names of the methods, {"methods": ["rise"], "settings": {"rise": {"masks": 9}}}, go into
    ``methods``. For a validator before the model.

    Raises:
        ConfigError: settings of something that is not among the methods.
    """
    if not isinstance(values, dict) or "settings" not in values:
        return values
    apart = dict(values["settings"])
    methods = [
        build_explainer(method, apart.pop(method, None)) if isinstance(method, str) else method
        for method in values.get("methods", ("gradcam",))
    ]
    if apart:
        raise ConfigError(f"There are settings for {min(apart)}, which is not among the methods.")
    return {name: value for name, value in values.items() if name != "settings"} | {"methods": methods}


def _check(
    images: torch.Tensor,
    explainer: Explainer,
    layer: str | Sequence[str] | None,
    chunk: int | None,
    **words: str,
) -> None:
    """``words``: precision and evidence."""
    for name, known in (("precision", PRECISIONS), ("evidence", EVIDENCE)):
        if words[name] not in known:
            raise ConfigError(f"{name} is '{words[name]}'; choose one of {', '.join(known)}.")
    pixels = f"{type(explainer).__name__} explains pixels and has no layer; leave layer={layer!r} out."
    shape = f"images should be normalised floats (B, 3, H, W), got {images.dtype} {tuple(images.shape)}."
    for wrong, message in (
        (images.ndim != 4 or not images.is_floating_point(), shape),
        (len(images) == 0, "There is no picture to explain: images has the shape (0, ...)."),
        (chunk is not None and chunk < 1, f"chunk is {chunk}; it counts pictures and must be 1 or more."),
        (layer is not None and not explainer.layered, pixels),
        (layer is not None and not layer, "layer is an empty list; name at least one layer."),
    ):
        if wrong:
            raise ConfigError(message)


def _check_finite(values: torch.Tensor, message: str) -> None:
    """Raise ``message`` with the number of the first of B values (B, ...) that is not finite."""
    # A sum is finite only if all are, and takes a tenth of the time; it may overflow where all are.
    if not bool(values.sum().isfinite()) and not bool(values.isfinite().all()):
        broken = (~values.isfinite()).flatten(1).any(dim=1)
        raise ConfigError(message.format(int(broken.nonzero()[0, 0])))


def _check_answers(probe: Probe, images: torch.Tensor) -> None:
    """Raise if the network itself fails on the first of the pictures (B, C, H, W)."""
    try:
        with torch.no_grad():
            probe.model(images[:1].clone())
    except _FAULTS as error:
        raise ConfigError(
            f"{type(probe.model).__name__} cannot take pictures (B, C, H, W) of the shape {tuple(images.shape)}: "
            f"{first_line(error)}."
        ) from error


def _classes(probe: Probe, images: torch.Tensor, targets: Targets, predicts: bool) -> torch.Tensor:
    """(B,) int64 on the network's device."""
    count = len(images)
    if targets is None and predicts:
        return torch.full((count,), PREDICTED, device=probe.device)
    if targets is None:
        with torch.no_grad():
            return torch.cat(
                [probe.logits(images[part].clone()).argmax(dim=1) for part in probe.chunks(count)]
            )
    classes = torch.as_tensor(targets, device=probe.device)
    if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
        raise ConfigError(f"targets should be class numbers, got {classes.dtype}.")
    classes = classes.long().expand(count) if classes.ndim == 0 else classes.long()
    if classes.shape != (count,):
        raise ConfigError(f"targets has the shape {tuple(classes.shape)} for {count} pictures.")
    if int(classes.min()) < 0:
        raise ConfigError(f"targets holds class {int(classes.min())}; classes are counted from 0.")
    probe.classes = int(classes.max()) + 1
    return classes
