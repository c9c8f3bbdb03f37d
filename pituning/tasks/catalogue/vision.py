"""Image classification: the paper's eight data sets, all asked the same question."""

from __future__ import annotations

from typing import Any

from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.hub_source import HubSource

_DEALT = "CoOp's lists of files are not on the hub: {what}."


def _images(name: str, title: str, labels: int, licence: str, origin: str, note: str, *, answer: str = "label",
            **hub: Any) -> DataSetRecord:  # fmt: skip
    return DataSetRecord(
        name=name, title=title, table="vision", hub=HubSource(spaced_labels=True, **hub),
        instruction="what does the image describe?", image="image", answer=answer, labels=labels, licence=licence,
        origin=origin, note=note,
    )  # fmt: skip


RECORDS = (
    _images(
        "food101", "Food101", 101, "not stated; images of foodspotting.com, for research",
        "Bossard et al., ECCV 2014",
        _DEALT.format(what="the test split is the data set's own, validation is cut from train"),
        id="ethz/food101", splits={"train": "train", "test": "validation"},
    ),
    _images(
        "caltech101", "Caltech101", 100, "CC BY 4.0", "Li et al., CVPR workshop 2004",
        _DEALT.format(what="train, validation and test are cut from its single split"),
        id="flwrlabs/caltech101", splits={"train": "train"},
        leave_out=("background_google", "background google", "faces_easy", "faces easy"),
    ),
    _images(
        "dtd", "DTD", 47, "for research", "Cimpoi et al., CVPR 2014",
        _DEALT.format(what="the test split is the hub's (partition 1), validation is cut from train"),
        id="tanganke/dtd", splits={"train": "train", "test": "test"},
    ),
    _images(
        "eurosat", "EuroSAT", 10, "MIT", "Helber et al., JSTARS 2019",
        _DEALT.format(what="the splits are the hub's"),
        id="blanchon/EuroSAT_RGB", splits={"train": "train", "validation": "validation", "test": "test"},
    ),
    _images(
        "fgvc-aircraft", "FGVC-Aircraft", 100, "for non-commercial research", "Maji et al., 2013", "",
        answer="variant", id="HuggingFaceM4/FGVC-Aircraft",
        splits={"train": "train", "validation": "validation", "test": "test"},
    ),
    _images(
        "flowers102", "Flowers102", 102, "not stated; for research", "Nilsback and Zisserman, ICVGIP 2008",
        _DEALT.format(what="the splits are the data set's own, whose train split has 10 images per class"),
        id="dpdl-benchmark/oxford_flowers102", splits={"train": "train", "validation": "validation", "test": "test"},
    ),
    _images(
        "oxford-pets", "Oxford-IIIT Pets", 37, "CC BY-SA 4.0", "Parkhi et al., CVPR 2012",
        _DEALT.format(what="the test split is the data set's own, validation is cut from train"),
        id="timm/oxford-iiit-pet", splits={"train": "train", "test": "test"},
    ),
    _images(
        "stanford-cars", "Stanford Cars", 196, "for non-commercial research", "Krause et al., 3DRR 2013",
        _DEALT.format(what="the test split is the data set's own, validation is cut from train"),
        id="tanganke/stanford_cars", splits={"train": "train", "test": "test"},
    ),
)  # fmt: skip
