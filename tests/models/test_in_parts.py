"""Asked in parts by several threads, a network says what it says when it is asked for all pictures at once."""

import threading
from collections.abc import Iterator

import pytest
import torch

from foveate.models.build import build_network
from foveate.models.in_parts import PART, in_parts
from foveate.models.settings import ModelConfig


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("count", [1, PART, PART + 1, 30])
def test_the_answers_are_those_of_one_pass_and_their_bits_do_not_hang_on_the_threads(
    count: int, threads: int
) -> None:
    model = build_network(
        ModelConfig(backbone="mobilenetv3_small_050", weights="none"), classes=3, size=64, seed=0
    ).eval()
    shown = images(count)
    with torch.no_grad():
        expected = model(shown).logits
    answers = []
    for number in (1, 2, 5):
        torch.set_num_threads(number)
        answers.append(in_parts(lambda pictures: model(pictures).logits, shown))
        assert torch.get_num_threads() == number
        seen: list[int] = []
        later = threading.Thread(target=lambda found=seen: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert seen == [number], "threads that begin later are not bound to one"
    torch.testing.assert_close(answers[0], expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    assert not answers[-1].requires_grad


def test_parts_are_computed_side_by_side_with_one_thread_each(threads: int) -> None:
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=30)
    inside: set[int] = set()

    def ask(pictures: torch.Tensor) -> torch.Tensor:
        together.wait()  # ends only if three ask at the same time
        inside.add(torch.get_num_threads())
        return pictures.mean((1, 2, 3))

    shown = images(3 * PART)
    torch.testing.assert_close(in_parts(ask, shown), shown.mean((1, 2, 3)))
    assert inside == {1}


def test_what_fails_in_a_thread_is_told(threads: int) -> None:
    torch.set_num_threads(2)

    def ask(pictures: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"no answer for {len(pictures)}")

    with pytest.raises(RuntimeError, match=f"no answer for {PART}"):
        in_parts(ask, images(2 * PART))
