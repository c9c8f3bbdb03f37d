"""Whether a photograph implies a sentence."""

from __future__ import annotations

from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.hub_source import HubSource

RECORDS = (
    DataSetRecord(
        name="snli-ve", title="SNLI-VE", table="vl",
        hub=HubSource(
            id="HuggingFaceM4/SNLI-VE", splits={"train": "train", "validation": "dev", "test": "test"},
            files={split: f"snli_ve_{split}.jsonl" for split in ("train", "dev", "test")},
            image_name="{Flickr30K_ID}.jpg",
            images_from="the images of Flickr30K, https://shannon.cs.illinois.edu/DenotationGraph",
        ),
        instruction="does the image describe", text=("sentence2",), template='" {sentence2} "?',
        answer="gold_label", image="image",
        label_names={"entailment": "yes", "neutral": "maybe", "contradiction": "no"}, labels=3, part="test",
        origin="Xie et al., 2019", licence="BSD 3-Clause; photographs by Flickr30K's terms of use",
        note="OFA also reads a caption of the photograph; this wording is its other one, without.",
    ),
)  # fmt: skip
