"""BART's byte-level BPE with OFA's symbols for image codes and coordinate bins behind it.

Ids: 0 ``<s>``, 1 ``<pad>``, 2 ``</s>``, 3 ``<unk>``, the BPE's words, ``<mask>``, then ``<code_0>`` … and
``<bin_0>`` …. Nothing is lower-cased or stripped here, and the blank that opens OFA's prompts is part of the text.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json

CODES, BINS = 8192, 1000
"""Numbers of image codes and of coordinate bins."""

SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
"""The first four words, in the order of their ids."""

MASK = "<mask>"

Merges = list[tuple[str, str]]


def ofa_tokenizer(vocab: dict[str, int], merges: Merges, *, where: str = "the vocabulary") -> PreTrainedTokenizerFast:
    """A tokenizer that writes ``<s> text </s>``, from BART's vocabulary and merges.

    ``<code_i>`` and ``<bin_i>`` in a text become one id each, and so does a blank with them (`` <bin_3>``); they are
    words of answers, so decoding keeps them even without special tokens.

    Args:
        where: what the files are called, for messages.

    Raises:
        ArtefactError: the vocabulary has not OFA's ids, or a merge makes a word that it lacks.
    """
    for index, word in enumerate(SPECIAL.values()):
        if vocab.get(word) != index:
            raise ArtefactError(f"{where} gives {word} the id {vocab.get(word)}, not {index}; give BART's vocabulary")
    if MASK not in vocab:
        raise ArtefactError(f"{where} lacks {MASK}; give BART's vocabulary")
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise ArtefactError(f"{where} does not number its {len(vocab)} words from 0 without gaps; fetch it again")
    try:
        tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token=SPECIAL["unk_token"]))
    except Exception as error:  # the library raises plain exceptions
        reason = str(error).splitlines()[0]
        raise ArtefactError(f"{where} and its merges do not fit together ({reason}); fetch both again") from error
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    start, end = SPECIAL["bos_token"], SPECIAL["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} {end} $B {end}",
        special_tokens=[(start, vocab[start]), (end, vocab[end])],
    )
    tokenizer.add_special_tokens([AddedToken(word, normalized=False) for word in (*SPECIAL.values(), MASK)])
    symbols = [f"<code_{index}>" for index in range(CODES)] + [f"<bin_{index}>" for index in range(BINS)]
    tokenizer.add_tokens([AddedToken(symbol, lstrip=True, normalized=False) for symbol in symbols])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, mask_token=MASK, clean_up_tokenization_spaces=False, **SPECIAL
    )


def read_bpe(directory: Path) -> tuple[dict[str, int], Merges]:
    """BART's vocabulary and merges, from either set of files that OFA was published with.

    Args:
        directory: holds vocab.json and merges.txt (hub), or encoder.json, vocab.bpe and dict.txt (fairseq).

    Raises:
        ArtefactError: files are missing or damaged.
    """
    if (directory / "vocab.json").is_file():
        return _words(directory / "vocab.json"), _merges(directory / "merges.txt")
    if (directory / "encoder.json").is_file():
        return _fairseq_vocabulary(directory), _merges(directory / "vocab.bpe")
    raise ArtefactError(
        f"{directory} holds no vocabulary: give a directory with vocab.json and merges.txt, "
        "or with encoder.json, vocab.bpe and dict.txt"
    )


def _words(path: Path) -> dict[str, int]:
    words = read_json(path)
    if not isinstance(words, dict) or not all(isinstance(index, int) for index in words.values()):
        raise ArtefactError(f"{path} is not a vocabulary of words and ids; fetch it again")
    return words


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing; put it beside the vocabulary") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(f"cannot read {path} ({error}); fetch it again") from error


def _merges(path: Path) -> Merges:
    merges: Merges = []
    for number, line in enumerate(_lines(path), 1):
        if not line or line.startswith("#version"):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            raise ArtefactError(f"{path}, line {number} is {line[:40]!r}, not two words; fetch it again")
        merges.append((parts[0], parts[1]))
    return merges


def _fairseq_vocabulary(directory: Path) -> dict[str, int]:
    """fairseq numbers the lines of dict.txt, which hold GPT-2's ids as text; encoder.json has the words of those."""
    words = {str(index): word for word, index in _words(directory / "encoder.json").items()}
    vocabulary = {word: index for index, word in enumerate(SPECIAL.values())}
    for number, line in enumerate(_lines(directory / "dict.txt"), 1):
        name = line.split(" ")[0]
        word = words.get(name, name if name.startswith("madeupword") else None)
        if word is None:
            raise ArtefactError(f"{directory / 'dict.txt'}, line {number} names {name!r}, which encoder.json lacks")
        vocabulary[word] = len(vocabulary)
    vocabulary[MASK] = len(vocabulary)
    return vocabulary
