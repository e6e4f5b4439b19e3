"""The base of last layers: candidates are fitted, a rule chooses among them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.registry import by_kind
from foveate.last_layer.stored import Given, Head, Stored
from foveate.training.selection import (
    SELECTION_RULES,
    AverageValidation,
    LastEpoch,
    LeaveOneOut,
    WorstAttributeValidation,
)

if TYPE_CHECKING:
    AnyRule = Any
else:
    AnyRule = Annotated[SELECTION_RULES.settings, BeforeValidator(by_kind)]

Settings = dict[str, float]
"""{setting: its value in a candidate}."""
Strengths = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=100)]


class LastLayerConfig(Config):
    """Settings that every last layer has; each adds its own and its ``kind``."""

    rule: AnyRule = AverageValidation()
    """How one of several candidates is chosen (``foveate list selection-rules``)."""
    attribute: str | None = None
    """An attribute of the pictures (``data.layout.attributes``), where the rule or the method needs one."""
    pictures: Literal["validation", "training"] = "validation"
    """What the head is fitted on: training pictures, or validation pictures, which the network has not learnt by heart.
    The rule then looks at a half that was left out, and validation figures are of pictures that the head has seen."""

    def consumes(self) -> tuple[str, ...]:
        used = ["attribute labels"] if self.attribute is not None else []
        if self.pictures == "validation" or not isinstance(self.rule, LastEpoch):
            used.append("validation labels")
        return tuple(used)


class LastLayer:
    """Base: a last layer is built from its ``Config``; ``candidates`` is all that a new one must write."""

    Config: ClassVar[type[LastLayerConfig]]
    needs_attribute: ClassVar[bool] = False
    leaves_out: ClassVar[bool] = False
    """Whether it can leave pictures out one by one (the rule ``leave_one_out``)."""

    def __init__(self, config: Any) -> None:
        """Raises ConfigError: the method or the rule needs an attribute and there is none, or another rule."""
        self.config = config
        if isinstance(config.rule, LeaveOneOut) and not self.leaves_out:
            raise ConfigError(
                f"The last layer '{config.kind}' cannot leave pictures out one by one; set another rule."
            )
        needs = self.needs_attribute or isinstance(config.rule, WorstAttributeValidation)
        if needs and config.attribute is None:
            raise ConfigError(
                f"The last layer '{config.kind}' with the rule '{config.rule.kind}' needs an attribute of the "
                "pictures; set last_layer.attribute."
            )

    def candidates(self, on: Stored, given: Given) -> Iterator[tuple[Settings, Head]]:
        """(settings, the head that they give), the most cautious first, which wins a draw."""
        raise NotImplementedError

    def final(self, settings: Settings, head: Head, given: Given) -> Head:
        """What is made of the candidate that was chosen."""
        return head

    def source(self, given: Given) -> Stored:
        """The pictures that are fitted on, all of them."""
        return given.validation() if self.config.pictures == "validation" else given.train()

    def fit(self, given: Given) -> tuple[Head, str]:
        """The head, and how it was chosen, in words.

        Raises:
            ConfigError: there are no validation pictures, or several candidates and no rule.
        """
        on, judge = self.source(given), given.validation()
        if not len(on) or not (len(judge) or isinstance(self.config.rule, LastEpoch)):
            raise ConfigError(
                f"The last layer '{self.config.kind}' needs labelled validation pictures, and there are none; set "
                "last_layer.pictures to training and last_layer.rule to last_epoch."
            )
        if self.config.pictures == "validation" and not isinstance(self.config.rule, LastEpoch):
            on, judge = on.halves(given.rng("halves"))
        found = list(self.candidates(on, given))
        if isinstance(self.config.rule, LastEpoch):
            if len(found) > 1:
                raise ConfigError(
                    f"The last layer '{self.config.kind}' has {len(found)} candidates and the rule 'last_epoch' "
                    "chooses none; give one value of each setting, or another rule."
                )
            return self.final(*found[0], given), in_words(found[0][0])
        scores = [
            self.config.rule.score(
                head.logits(judge.features).argmax(axis=1) == judge.labels, judge.subgroups
            )
            for _, head in found
        ]
        best = int(np.argmax(scores))
        how = f"{in_words(found[best][0])}, of {len(found)} by the rule '{self.config.rule.words}' ({scores[best]:.4f})"
        return self.final(*found[best], given), how


def in_words(settings: Settings) -> str:
    """Settings of a candidate on one line."""
    return ", ".join(f"{name} = {value:g}" for name, value in settings.items())
