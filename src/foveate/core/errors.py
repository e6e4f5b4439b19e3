"""Errors a user can act on. Each message is one sentence or two: the thing, the place, the value, the next action."""


class FoveateError(Exception):
    """Base of every error that is the user's to mend; the command line prints it without a traceback."""


class DataError(FoveateError):
    """Pictures, masks, labels or splits cannot be used as they are."""


class ConfigError(FoveateError):
    """A setting is unknown, of the wrong type, or impossible in combination with another."""


class WeightsError(FoveateError):
    """Weights are missing, unreadable, or do not fit the network."""


class RunError(FoveateError):
    """A run folder is missing, unfinished, or belongs to another experiment."""


class TrainingError(FoveateError):
    """Training cannot go on (a loss that is not finite, a full disk)."""


class StudyError(FoveateError):
    """A study folder belongs to another study, is in use, or its cells do not fit together."""
