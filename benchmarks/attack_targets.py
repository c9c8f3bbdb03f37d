"""What is attacked: for each way into the Studio a function that makes one try and says how it ended.

A refusal is a `PiTuningError`; whatever else is raised is a failure, and so is `Wrong`, by which a function says that
something was taken that must not be, or came out differently.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import attack_making as making
from pituning.errors import ArtefactError, BadInput
from pituning.workspace.layout import Workspace, check_name

TASK = "digits"
"""A task of the suite, which is always there."""


class Wrong(AssertionError):
    """Something wrong was taken in silence, or came out differently."""


@dataclass
class Place:
    """Where tries happen: everything that they write belongs below ``root``.

    Args:
        root: a directory of the try's own, which is empty.
        workspace: of which only the database is kept from try to try.
        kept: what is made once.
    """

    root: Path
    workspace: Workspace
    kept: dict[str, Any] = field(default_factory=dict)

    def file(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.write_bytes(data)
        return path


_PARAMETERS = (
    "task", "other", "tasks", "kind", "predictor", "backbone", "run", "runs", "expert", "seed", "k", "shots", "slide",
    "story", "method", "order", "scale", "colour", "view", "show",
)  # fmt: skip


_CLAIMS: tuple[Any, ...] = (
    "false", "true", 0, 1, [True], ["ada@example.org"], "ADA@example.org", "ada@example.org\0", " ada@example.org",
    "ada@example.org,x", "x@ada@example.org", "ada@exämple.org", "*@example.org", "*", "", "@", None, False,
)  # fmt: skip


def must(true: bool, words: str) -> None:
    """Raises `Wrong` unless it is true."""
    if not true:
        raise Wrong(words)


def tables(luck: random.Random, place: Place) -> None:
    """A table, read with odd options, becomes a task that is there as it was made."""
    name, data, wrong = making.table(luck)
    _add_task(luck, place, place.file(name, data), wrong=wrong)


def zips(luck: random.Random, place: Place) -> None:
    """A zip that cannot be trusted is refused, as a task and as an expert."""
    from pituning.experts.checkpoint import read_checkpoint

    if luck.random() < 0.3:
        data, wrong = making.archive(luck, _expert_files())
        read_checkpoint(data, "x.zip")
        must(not wrong, "a zip that cannot be trusted was read as an expert")
        return
    rows = "".join(f"visit {i} was {'fine' if i % 2 else 'poor'},{'good' if i % 2 else 'bad'}\n" for i in range(40))
    members = {"in/table.csv": ("text,label\n" + rows).encode()}
    if luck.random() < 0.4:
        members |= {f"{label}/{i}.png": _png(i) for label in ("red", "blue") for i in range(6)}
        members.pop("in/table.csv")
    data, wrong = making.archive(luck, members)
    _add_task(luck, place, place.file("some.zip", data), wrong=wrong, plain=True)


def images(luck: random.Random, place: Place) -> None:
    """A picture is drawn at any size, or refused; as one of a zip, too."""
    from pituning.tasks.images import IMAGE_FORMATS, BytesImage, image_suffix, open_image

    data, wrong = making.picture(luck)
    if luck.random() < 0.5:
        members = {f"{label}/{i}.png": _png(i) for label in ("red", "blue") for i in range(6)}
        members[f"red/odd.{luck.choice(('png', 'jpg', 'tif', 'gif'))}"] = data
        packed = _zip(members)
        _add_task(luck, place, place.file("pictures.zip", packed), wrong=wrong, plain=True)
        return
    open_image(data)
    must(not wrong, "a picture with more pixels than may be read was read")
    must(image_suffix(data) in IMAGE_FORMATS.values(), "a picture has no suffix")
    size = luck.choice((1, 16, 333))
    drawn = BytesImage(data).render(size)
    must((drawn.size, drawn.mode) == ((size, size), "RGB"), f"a picture was drawn as {drawn.size} {drawn.mode}")


def rows(luck: random.Random, place: Place) -> None:
    """Rows to be labelled are kept as they were uploaded, counted, and each read or refused for itself."""
    from pituning.labelling.inputs import Unreadable, example_of, reading_of
    from pituning.labelling.rows import chunks, open_rows, outline_of
    from pituning.labelling.sources import find_source, keep_upload
    from pituning.tasks.registry import load_task

    name, data, wrong = making.table(luck)
    if luck.random() < 0.4:
        pictures = {f"{i}.png": _png(i) for i in range(3)} | {"odd.png": making.picture(luck)[0]}
        data, wrong = making.archive(luck, pictures if luck.random() < 0.5 else {name: data} | pictures)
        name = "some.zip"
    elif luck.random() < 0.3:
        data, wrong = making.changed(luck, data), False
    outline, count = outline_of(data, name)  # which pages and workers have done in a process of its own
    source = find_source(
        keep_upload(data, luck.choice((name, f"../{name}", f"a\\{name}")), place.workspace), place.workspace
    )
    must(
        (source.uploaded, source.filename, source.path.read_bytes()) == (True, name, data),
        "it is not what was uploaded",
    )
    table = open_rows(source.path, source.filename)
    must(table.columns == outline.columns, "the worker reads other columns than the page")
    task = load_task(TASK if table.form == "images" else luck.choice(("nli", "nli", "nli", TASK)), place.workspace)
    texts = () if task.modality == "vision" else (luck.choice(table.columns),)
    reading = reading_of(task, table, texts=texts)
    read = 0
    for chunk in chunks(table):
        for row in chunk:
            with suppress(Unreadable):
                example_of(task, reading, row, table)
        read += len(chunk)
    must(read == count, f"{count} rows were counted, {read} read")
    must(not wrong, f"{name}, which holds no rows, was read")


def experts(luck: random.Random, place: Place) -> None:
    """A checkpoint of others is imported whole and finite, or refused."""
    from pituning.backbones.files import fingerprint
    from pituning.backbones.places import Places
    from pituning.experts.card import read_card
    from pituning.experts.checkpoint import arrays, read_checkpoint
    from pituning.experts.fitting import check_fit
    from pituning.experts.keeping import keep_checkpoint

    files, wrong = _odd_expert(luck)
    # All that `pituning.experts.uploads` does but to load the model and compare, which takes seconds.
    folder = place.workspace.backbone_dir("mini")
    mark = fingerprint(folder)
    checkpoint = check_fit(read_checkpoint(_zip(files), "mine.zip"), Places.read(folder), mark)
    name = luck.choice(("mine", "digits", making.text(luck)))
    card = keep_checkpoint(checkpoint, place.workspace.zoo(), name=name, task=TASK, fingerprint=mark)
    must(not wrong, f"a checkpoint with {wrong} was imported")
    folder = place.workspace.zoo().new_expert_dir(card.kind, check_name(name))
    must(folder.parent.parent.parent == place.workspace.zoo().root, f"it was written to {folder}")
    must(read_card(folder) == card, "the card is not what was imported")
    read = arrays((folder / "adapter_model.safetensors").read_bytes())
    must(all(math.isfinite(float(abs(one).sum())) for one in read.values()), "values are not finite")


def affinities(luck: random.Random, place: Place) -> None:
    """A table of affinities comes back with every digit, or is refused."""
    import numpy as np

    from pituning.tasks.affinity_tables import read_affinity
    from pituning.workspace.affinities import MOST_VALUE, load_affinity, save_affinity

    names = [making.text(luck) if luck.random() < 0.05 else f"task {i}" for i in range(luck.choice((1, 3, 4, 5, 5)))]
    cells = [[_affinity_cell(luck) for _ in names] for _ in names]
    delimiter = luck.choice(",;\t")
    if luck.random() < 0.7:
        lines = [["" if luck.random() < 0.8 else making.text(luck), *names]]
        lines += [[name, *row] for name, row in zip(names, cells, strict=True)]
    else:
        lines = [["source", "target", "value"]]
        lines += [[a, b, cells[i][j]] for i, a in enumerate(names) for j, b in enumerate(names)]
    data = "\n".join(delimiter.join(row) for row in lines).encode("utf-8", "replace")
    if luck.random() < 0.25:
        data = making.changed(luck, data)
    affinity = read_affinity(data, filename=f"a.{luck.choice((*('csv', 'tsv', 'txt') * 4, 'xlsx', 'json'))}")
    known = affinity.values[~np.isnan(affinity.values)]
    must(bool((np.abs(known) <= MOST_VALUE).all()), "a value is too large to compute with")
    name = luck.choice(("mine", making.text(luck)))
    save_affinity(place.workspace, name, affinity)
    again = load_affinity(place.workspace, name)
    must(again.names == affinity.names, "names are not what was saved")
    must(np.array_equal(again.values, affinity.values, equal_nan=True), "values are not what was saved")


def stories(luck: random.Random, place: Place) -> None:
    """A story that somebody edited is read and written as it is, or refused; any title makes a file."""
    from pituning.workspace.stories import Slide, add_story, load_story, save_story, story_names, story_path
    from pituning.workspace.story_views import VIEWS

    plain = {
        "format_version": 1, "title": making.text(luck),
        "slides": [
            {"id": f"s{i}", "view": luck.choice(tuple(VIEWS)), "title": "x", "caption": making.text(luck)}
            for i in range(luck.randrange(4))
        ],
    }  # fmt: skip
    path = story_path(place.workspace, "mine")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(making.written(luck, making.with_odd(luck, plain) if luck.random() < 0.8 else plain))
    with suppress(BadInput, ArtefactError):
        story = load_story(place.workspace, "mine")
        save_story(place.workspace, story)
        must(load_story(place.workspace, "mine") == story, "a story is not what was saved")
    made = add_story(place.workspace, making.text(luck), (Slide(view="words", caption=making.text(luck)),))
    must(made.name in story_names(place.workspace), "a story that was made is not listed")
    must(load_story(place.workspace, made.name) == made, "a story is not what was made")


def addresses(luck: random.Random, place: Place) -> None:
    """A page opens at any address and says what it cannot do."""
    from streamlit.testing.v1 import AppTest

    from pituning.workspace.layout import resources

    pages = (
        "home",
        "task_graph",
        "similarity",
        "task_map",
        "transfer",
        "runs",
        "experts",
        "new_run",
        "label",
        "present",
    )
    at = AppTest.from_file(str(resources() / "app" / "streamlit_app.py"), default_timeout=250)
    for _ in range(luck.randrange(1, 4)):
        name = luck.choice(_PARAMETERS)
        at.query_params[name] = luck.choice((making.text(luck), "1e999", "-1", "lora", "digits,nli", "lora/digits"))
    page = luck.choice(pages)
    if page != "home":
        at.switch_page(f"app_pages/{page}.py")
    at.run()
    must(not at.exception, f"the page {page} raised {[one.message for one in at.exception]}")
    for alert in at.error:
        must("incident" not in alert.value, f"the page {page} says: {alert.proto.title}: {alert.value}")


def claims(luck: random.Random, place: Place) -> None:
    """Nobody is let in whom the provider does not vouch for, or the roles do not name."""
    from pituning.runs.roles import Roles, address_of

    given: dict[str, Any] = {"is_logged_in": True, "email": "ada@example.org", "email_verified": True, "sub": "1"}
    for _ in range(luck.randrange(3)):
        key = luck.choice(("email", "email_verified", "sub", "is_logged_in", "admin"))
        given[key] = luck.choice((*_CLAIMS, making.value(luck)))
        if luck.random() < 0.15:
            del given[key]
    lists = {"admins": ["ada@example.org"], "runners": ["*@lab.example.org"], "viewers": ["*@example.org"]}
    lines = [f"{key} = {json.dumps(value)}" for key, value in lists.items() if luck.random() < 0.8]
    data = "\n".join(lines).encode()
    roles = Roles.read(place.file("roles.toml", making.changed(luck, data) if luck.random() < 0.2 else data))
    vouched = given.get("email_verified", True)
    address = address_of(given)
    claims = ", ".join(given)  # their values may be numbers that cannot be written out
    must(vouched is True, f"somebody was let in who is not vouched for, by the claims {claims}")
    must(isinstance(given.get("email"), str), f"there is an address, by the claims {claims}")
    actor = roles.actor(address)
    must(actor.name is not None and actor.name.count("@") == 1 and "*" not in actor.name, f"{actor} was let in")


def _add_task(luck: random.Random, place: Place, file: Path, *, wrong: bool, plain: bool = False) -> None:
    from pituning.tasks.adding import AddOptions, plan_task
    from pituning.tasks.base import SPLITS
    from pituning.tasks.files import load_saved_task, save_task

    given: dict[str, Any] = {"name": "mine", "instruction": "good or bad?"}
    if not plain:
        odd: Mapping[str, Callable[[], Any]] = {
            "name": lambda: making.text(luck), "title": lambda: making.text(luck),
            "instruction": lambda: making.text(luck), "text_columns": lambda: luck.choice(("text", making.text(luck))),
            "answer_column": lambda: luck.choice(("label", "other", making.text(luck))),
            "template": lambda: luck.choice(("{text} {other}", "{text", "{}", "{text.__class__}", "{text!r:>99999999}",
                                             making.text(luck))),
            "answers": lambda: luck.choice(("labels", "text", "number", "box", making.text(luck))),
            "label_names": lambda: luck.choice(("good=yes,bad=no", "good=yes", making.text(luck))),
            "encoding": lambda: luck.choice(("windows-1252", "utf-16", "rot13", "idna", making.text(luck))),
            "delimiter": lambda: luck.choice((",", "tab", making.text(luck))),
            "metric": lambda: luck.choice(("accuracy", making.text(luck))),
            "seed": lambda: luck.choice((0, 2**63 - 1)), "header": lambda: luck.random() < 0.5,
            "missing": lambda: luck.choice(("drop", "keep")),
        }  # fmt: skip
        given |= {name: odd[name]() for name in luck.sample(sorted(odd), luck.choice((0, 0, 1, 2)))}
    made = plan_task(file, AddOptions(**given)).make()
    save_task(made, place.workspace)
    must(not wrong, f"{file.name}, which holds no task, was added")
    folder = place.workspace.task_dir(made.name)
    must(folder.is_dir() and folder.parent == place.workspace.root / "tasks", "the task is elsewhere")
    read = load_saved_task(folder)
    for split in SPLITS:
        ours, theirs = made.split(split), read.split(split)
        pairs = [[(one.text, one.answer) for one in examples] for examples in (ours, theirs)]
        must(pairs[0] == pairs[1], f"the examples of the {split} split are not what was saved")
    must((read.instruction, read.title, read.labels) == (made.instruction, made.title, made.labels),
         "the task is not what was saved")  # fmt: skip


def _affinity_cell(luck: random.Random) -> str:
    if luck.random() < 0.04:
        return luck.choice(("", "1e308", "inf", "nan", "-", "1_0", "٣", "1e-320", "0x10", making.text(luck)))
    return repr(luck.choice((luck.random(), luck.randrange(-9, 9), 1e12 * luck.random())))


def _expert_files() -> dict[str, bytes]:
    """A shipped expert, as it would be sent to somebody."""
    folder = Workspace(Path("/nowhere")).zoo().all_expert_dirs("lora")[TASK]
    names = ("adapter_config.json", "adapter_model.safetensors", "card.json")
    return {f"x/{name}": (folder / name).read_bytes() for name in names}


def _odd_expert(luck: random.Random) -> tuple[dict[str, bytes], str]:
    """A shipped expert with something changed; and what of it must not be accepted, or nothing."""
    import numpy as np
    from safetensors.numpy import load, save

    files = _expert_files()
    config, card = (json.loads(files[f"x/{name}.json"]) for name in ("adapter_config", "card"))
    what = luck.choice(
        ("plain", "method", "config", "card", "bytes", "header", "values", "shapes", "names", "dtype", "pickle")
    )
    held = load(files["x/adapter_model.safetensors"])
    name, without_card, wrong = luck.choice(sorted(held)), luck.random() < 0.7, ""
    if what == "config":
        config = making.with_odd(luck, config)
    elif what == "method":
        key, value = luck.choice((
            ("init_lora_weights", "pissa"), ("init_lora_weights", "pissa_niter_4"), ("init_lora_weights", "olora"),
            ("init_lora_weights", "loftq"), ("layer_replication", [[0, 2]]), ("r", 50_000), ("r", 0), ("r", -1),
            ("lora_alpha", math.inf), ("peft_type", "LOHA"), ("peft_type", making.text(luck)),
        ))  # fmt: skip
        config[key], without_card = value, True
        wrong = "" if key == "peft_type" else f"{key} {value!r}"
    elif what == "card":
        card, without_card = making.with_odd(luck, card), False
    elif what == "values":
        held[name] = held[name].copy()
        held[name].flat[0] = luck.choice((math.nan, math.inf))
        wrong = "values that are not finite"
    elif what == "shapes":
        held[name] = held[name].reshape(-1)
        wrong = "a tensor of another shape"
    elif what == "names":
        held[name.replace("lora_A", "lora_C").replace("lora_B", "lora_D")] = held.pop(name)
        wrong = "a tensor of another name"
    elif what == "dtype":
        held[name] = held[name].astype(luck.choice((np.float16, np.float64, np.int32, np.bool_)))
    elif what == "pickle":
        files["x/adapter_model.bin"] = b"\x80\x04."
        wrong = "a pickle"
    data = save(held)
    if what == "bytes":
        data, wrong = data[: luck.randrange(len(data))], "tensors that are cut off"
    elif what == "header":
        shape = luck.choice(([2**40, 2**20], [50_000, 50_000], [-1], [4, 4], [2**63], ["4"]))
        data = making.tensors({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 64]}}, bytes(64))
        wrong = "tensors that are not there"
    files["x/adapter_model.safetensors"] = data
    files["x/adapter_config.json"] = making.written(luck, config) if what == "config" else json.dumps(config).encode()
    if luck.random() < 0.5:
        card = {**card, "sha256": hashlib.sha256(data).hexdigest()} if isinstance(card, dict) else card
        files["x/card.json"] = json.dumps(card).encode()
    if without_card:
        files.pop("x/card.json")
    elif what == "card":
        files["x/card.json"] = making.written(luck, card)
    return files, wrong


def _zip(members: Mapping[str, bytes]) -> bytes:
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return stream.getvalue()


def _png(number: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number * 20 % 256, 40, 90)).save(stream, "PNG")
    return stream.getvalue()


def fresh(place: Place) -> None:
    """Takes away what tries have written into the workspace."""
    for name in ("tasks", "zoos", "affinities", "presentations", "uploads", "bin", "runs"):
        shutil.rmtree(place.workspace.root / name, ignore_errors=True)
