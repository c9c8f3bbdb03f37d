"""GLUE: the paper's six tasks of sentences and pairs, in its wording. Its figures are of the validation splits."""

from __future__ import annotations

from collections.abc import Mapping

from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.hub_source import HubSource

_NO_YES = {"0": "no", "1": "yes"}
_YES_NO = {"0": "yes", "1": "no"}
NOTE = "GLUE's test answers are not public: validation is the test split, as in the paper, and ours is cut from train."


def _glue(name: str, title: str, text: tuple[str, ...], instruction: str, template: str, names: Mapping[str, str],
          origin: str, licence: str, *, config: str = "", test: str = "validation") -> DataSetRecord:  # fmt: skip
    return DataSetRecord(
        name=name, title=title, table="glue",
        hub=HubSource(id="nyu-mll/glue", config=config or name, splits={"train": "train", "test": test}),
        instruction=instruction, text=text, template=template, label_names=names, labels=len(names),
        origin=origin, licence=licence, note=NOTE,
    )  # fmt: skip


RECORDS = (
    _glue(
        "mnli", "MNLI (matched)", ("premise", "hypothesis"), "can text1", '" {premise} " imply text2 " {hypothesis} "?',
        {"0": "yes", "1": "maybe", "2": "no"}, "Williams et al., NAACL 2018", "OANC, CC BY-SA 3.0 and others",
        test="validation_matched",
    ),
    _glue(
        "qqp", "QQP", ("question1", "question2"), "is question",
        '" {question1} " and question " {question2} " equivalent?', _NO_YES, "Quora, 2017", "Quora's terms of use",
    ),
    _glue(
        "mrpc", "MRPC", ("sentence1", "sentence2"), "does text1",
        '" {sentence1} " and text2 " {sentence2} " have the same semantics?', _NO_YES,
        "Dolan and Brockett, IWP 2005", "Microsoft Research licence",
    ),
    _glue(
        "qnli", "QNLI", ("question", "sentence"), "does",
        '" {sentence} " contain the answer to question " {question} "?', _YES_NO,
        "Wang et al., ICLR 2019, from SQuAD", "CC BY-SA 4.0",
    ),
    _glue(
        "glue-rte", "RTE", ("sentence1", "sentence2"), "can text1", '" {sentence1} " imply text2 " {sentence2} "?',
        _YES_NO, "Dagan et al. and others, 2006 to 2009", "not stated; for research", config="rte",
    ),
    _glue(
        "sst2", "SST-2", ("sentence",), "is the sentiment of text", '" {sentence} " positive or negative?',
        {"0": "negative", "1": "positive"}, "Socher et al., EMNLP 2013", "not stated; for research",
    ),
)  # fmt: skip
