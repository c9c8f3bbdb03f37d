"""What guessing scores on several tasks, also where examples are not here."""

from __future__ import annotations

import pytest

from pituning.tasks.guessing import document, guess_rows, guesses_of, mean_guess
from pituning.tasks.metrics import Guessing, guessing
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace
from tests.conftest import make_text_task


def test_a_card_alone_tells_chance_and_says_that_the_largest_class_is_not_known() -> None:
    task = make_text_task(train=0, test=0)
    guessed = guessing(task)
    assert guessed is not None
    assert str(guessed) == "guessing at random scores 33.3, the largest class is not known"
    assert guessed.short() == "33.3 · ?"
    assert guess_rows(guessed) == [("at random", pytest.approx(100 / 3, abs=1e-4))]
    assert document(None) == {"chance": None, "largest": None}


def test_means_are_over_all_tasks_or_not_known(tmp_path) -> None:
    workspace = Workspace.open(tmp_path)
    save_task(make_text_task(), workspace)
    guesses = guesses_of(["tiny-mood", "digits", "no-such-task"], workspace)
    assert set(guesses) == {"tiny-mood", "digits"}
    assert mean_guess(guesses, ["tiny-mood", "no-such-task"]) is None
    mean = mean_guess(guesses, ["tiny-mood", "digits"])
    assert mean is not None
    assert mean.chance == pytest.approx((guesses["tiny-mood"].chance + guesses["digits"].chance) / 2)
    # Where answers are open, chance stands in for the largest class; one unknown class makes the mean unknown.
    open_and_closed = {"a": Guessing(10.0, None), "b": Guessing(20.0, 40.0)}
    assert mean_guess(open_and_closed, "ab") == Guessing(15.0, 25.0)
    assert mean_guess({**open_and_closed, "b": Guessing(20.0, None, False)}, "ab") == Guessing(15.0, None, False)
