"""Which names, of folders and in tables, say train, val or test, or a fold of a cross-validation."""

import re
from collections.abc import Iterable

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "pred"), "test"),
}
"""What sets in use call their splits; eval and evaluation are test, as in Hugging Face's datasets."""

_FILLER = "sets?|data|datasets?|images?|imgs?|pictures?|photos?|folder|dir|split"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_GLUED = re.compile(rf"({'|'.join(SPLIT_WORDS)})(?:{_FILLER})?")
_FILLERS = re.compile(rf"(?:{_FILLER})?")
_FOLD = re.compile(r"(?:cv)?[ _-]?fold[ _-]?\d+", re.IGNORECASE)


def split_of(name: str) -> str:
    """The split that a name says, or "": ``Training``, ``train_set``, ``testData``, ``val2017``, ``images-dev``."""
    split, rest = _taken_apart(name)
    return split if not any(word for word in rest if not word.isdigit()) else ""


def split_folders(names: Iterable[str]) -> dict[str, str]:
    """{name: split} of those sibling folders that are splits.

    Also names that differ in the split's word alone (``seg_train``, ``seg_test``), when all do.
    """
    names = list(names)
    plain = {name: split for name in names if (split := split_of(name))}
    if len(plain) == len(names) or len(names) < 2:
        return plain
    apart = {name: _taken_apart(name) for name in names}
    found = {name: split for name, (split, _) in apart.items() if split}
    rests = {rest for _, rest in apart.values()}
    same = len(found) == len(names) and len(rests) == 1 and "train" in found.values()
    return found if same else plain


def is_fold(name: str) -> bool:
    """Whether a folder is called as a fold of a cross-validation is: ``fold_0``, ``Fold 3``, ``fold12``."""
    return _FOLD.fullmatch(name) is not None


def fold_folders(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are folds, when there are two or more."""
    folds = [name for name in names if is_fold(name)]
    return folds if len(folds) > 1 else []


def _taken_apart(name: str) -> tuple[str, tuple[str, ...]]:
    """(split, the other words of the name, lower-case, without those that mean no more than "pictures")."""
    words = [word.lower() for word in _WORD.findall(name)]
    glued = [_GLUED.fullmatch(word) for word in words]
    splits = {SPLIT_WORDS[match[1]] for match in glued if match}
    rest = (word for word, match in zip(words, glued, strict=True) if not match)
    return splits.pop() if len(splits) == 1 else "", tuple(w for w in rest if not _FILLERS.fullmatch(w))
