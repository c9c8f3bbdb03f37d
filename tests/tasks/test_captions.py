"""Scores of captions, against sacrebleu's and closed forms, and against the challenge's own Java programs."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import sacrebleu

from pituning.errors import BadInput
from pituning.tasks import captions
from pituning.tasks.metrics import per_example, score
from tests.conftest import lacking

WORDS = [*"abcdefghijklmnop", "cat", "dog", "sun", "sea"]
SENTENCES = (
    "A man's riding a wave, on top of a surfboard.", "The dog isn't here; it's asleep!", "two well-known cats - black",
    "They don't see 3.5 meters of snow...",
)  # fmt: skip


def drawn(count: int, seed: int) -> tuple[list[str], list[list[str]]]:
    source = random.Random(seed)
    right = [[" ".join(source.choices(WORDS, k=source.randint(5, 9))) for _ in range(4)] for _ in range(count)]
    said = [" ".join([*each[0].split()[:4], *source.choices(WORDS, k=2)]) for each in right]
    return said, right


def java() -> None:
    if shutil.which("java") is None:
        lacking(
            "no Java runtime is installed, in which METEOR and the challenge's tokenizer are written (make install)"
        )


def test_words_are_in_lower_case_without_punctuation() -> None:
    assert captions.words("A man's riding a wave, on top!") == "a man 's riding a wave on top"
    assert captions.words("The dog isn't here") == "the dog is n't here"
    assert captions.words("") == ""


@pytest.mark.slow
def test_words_are_those_of_the_challenges_tokenizer() -> None:
    java()
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    theirs = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(SENTENCES)})
    assert [captions.words(text) for text in SENTENCES] == [theirs[i][0] for i in range(len(SENTENCES))]


def test_bleu_is_the_corpus_score_and_its_numbers_spread_as_the_bootstrap() -> None:
    said, right = drawn(60, 0)
    each = per_example("bleu4", said, right)
    theirs = sacrebleu.corpus_bleu(
        said, list(map(list, zip(*right, strict=True))), tokenize="none", smooth_method="none"
    )
    assert 100 * each.mean() == pytest.approx(theirs.score, abs=1e-4)
    source = np.random.default_rng(0)
    resampled = []
    for _ in range(60):
        places = source.integers(0, 60, 60)
        resampled.append(score("bleu4", [said[i] for i in places], [right[i] for i in places]))
    assert 100 * each.std() / np.sqrt(60) == pytest.approx(np.std(resampled), rel=0.4)


def test_bleu_of_nothing_in_common_is_0() -> None:
    assert score("bleu4", ["x y", "z"], [["a b c d e"], ["f g h"]]) == pytest.approx(0.0, abs=1e-6)


def test_cider_is_highest_for_a_persons_caption_and_0_without_common_words() -> None:
    _, right = drawn(30, 0)
    same = per_example("cider", [each[0] for each in right], [[each[0]] for each in right])
    assert same == pytest.approx(10.0)  # cosines of 1 for runs of one to four words, times 10
    assert score("cider", ["zebra"] * 30, right) == 0.0


@pytest.mark.slow
def test_meteor_is_the_java_programs_own_score() -> None:
    java()
    said, right = drawn(6, 1)
    from pycocoevalcap.meteor.meteor import Meteor

    expected, _each = Meteor().compute_score(dict(enumerate(right)), {i: [one] for i, one in enumerate(said)})
    assert score("meteor", said, right) == pytest.approx(100 * expected)


def test_what_is_not_installed_is_told_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    captions.check_metric("accuracy")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BadInput, match="there is no java"):
        captions.check_metric("meteor")
    monkeypatch.setitem(__import__("sys").modules, "pycocoevalcap.cider.cider", None)
    with pytest.raises(BadInput, match=r"pip install 'pituning-studio\[captions\]'"):
        captions.check_metric("cider")
