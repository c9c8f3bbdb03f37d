"""Attacks on the command line, on workspaces that are damaged, and on backups and the bin."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import attack_making as making
from benchmarks.attack_targets import Place, must
from pituning.errors import BadInput

LONG = {
    "app", "worker", "doctor", "bench", "pretrain", "zoo", "study", "embed", "predict",
    "tasks catalogue", "experts ask", "experts check", "experts export", "experts import", "experts convert",
    "backbones check", "backbones add", "backbones show",
}  # fmt: skip
"""Commands, or groups of them, that wait, compute, serve, or read a model."""
_READ = (
    ["tasks", "list", "--json"], ["runs", "list", "--json"], ["experts", "list", "--json"], ["bin", "list", "--json"],
    ["tasks", "show", "moods"], ["graph", "neighbors", "digits"], ["runs", "count", "2", "--detach", "--json"],
)  # fmt: skip


def command_line(luck: random.Random, place: Place) -> None:
    """Any command with any options ends with 0, 1 or 2, and says what is wrong in one line."""
    commands = place.kept.setdefault("commands", list(_commands()))
    path, parameters = luck.choice(commands)
    words = [*path.split()]
    for parameter in parameters:
        required = parameter.required or parameter.name in ("detach", "yes")
        if parameter.name in ("workspace", "help", "version", "debug") or not (required or luck.random() < 0.35):
            continue
        words += _words(luck, parameter, place)
    code, out, _ = run(
        place, [*words, "--workspace", str(place.workspace.root)] if _has_workspace(parameters) else words
    )
    if code != 0:
        raise BadInput("refused, as it must be")
    if "--json" in words:
        json.loads(out, parse_constant=lambda constant: must(False, f"JSON holds {constant}"))


def workspaces(luck: random.Random, place: Place) -> None:
    """A damaged workspace is told apart: what is whole is still listed, and nothing is made worse."""
    copy = _template(place)
    files = sorted(
        path for path in copy.rglob("*") if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm"))
    )
    hit = [luck.choice(files) for _ in range(luck.choice((1, 1, 3)))]
    for path in hit:
        _damage(luck, path)
    names = {path.relative_to(copy).parts[:2] for path in hit}
    for words in luck.sample(_READ, 4):
        code, out, _ = run(place, [*words, "--workspace", str(copy)], at_home=False)
        if words[:2] == ["tasks", "list"] and code == 0 and ("tasks", "whole") not in names:
            must('"whole"' in out, "a damaged task hides a whole one")
        if words[:2] == ["runs", "list"] and not any("studio.db" in str(path) for path in hit):
            must(code in (0, 1, 2) and (code != 0 or json.loads(out)["total"] >= 2), "runs are not listed")


def backups(luck: random.Random, place: Place) -> None:
    """A backup that was damaged or tampered with leaves nothing; a whole one gives the same workspace."""
    import zipfile

    from pituning.errors import PiTuningError
    from pituning.runs.backup import MANIFEST, back_up
    from pituning.runs.from_backup import restore_backup
    from pituning.workspace.layout import Workspace

    if "backup" not in place.kept:
        made = place.root / "made.zip"
        back_up(Workspace(_template(place)), made)
        place.kept["backup"] = made.read_bytes()
        made.unlink()
    data, wrong = place.kept["backup"], False
    what = luck.random()
    if what < 0.4:
        data = making.changed(luck, data)
    elif what < 0.9:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if what < 0.6:
            manifest = making.with_odd(luck, json.loads(members[MANIFEST]))
            members[MANIFEST] = making.written(luck, manifest)
        elif what < 0.75:
            name = luck.choice(sorted(members))
            members[name], wrong = members[name] + b"x", True
        else:
            members[luck.choice(("tasks/new", *making.UNSAFE_PATHS))], wrong = b"x", True
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        data = stream.getvalue()
    file, target = place.file("given.zip", data), place.root / "restored"
    try:
        restored = restore_backup(file, target)
    except PiTuningError:
        must(not target.exists(), "a backup that was refused has left a directory")
        raise
    must(not wrong, "a backup that was tampered with was restored")
    must((restored.root / "workspace.json").is_file(), "the restored workspace is half there")
    code, _, _ = run(place, ["runs", "list", "--workspace", str(target)], at_home=False)
    must(code == 0, "the restored workspace cannot be read")


def deletions(luck: random.Random, place: Place) -> None:
    """Whatever is deleted, restored, taken meanwhile or emptied: nothing is lost but by emptying."""
    from pituning.errors import PiTuningError
    from pituning.runs.backbone_removal import remove_backbone
    from pituning.runs.queue import RunQueue
    from pituning.runs.removal import delete_run, remove_expert, remove_task
    from pituning.runs.restoring import restore, settle
    from pituning.workspace.bin import Bin
    from pituning.workspace.layout import Workspace

    workspace = Workspace(_template(place), embedded=place.workspace.embedded)
    queue, bin_ = RunQueue(workspace), Bin(workspace.root)
    before, damaged = _files(workspace.root), False
    try:
        for _ in range(luck.randrange(1, 5)):
            what = luck.random()
            with contextlib.suppress(BadInput):
                if what < 0.4:
                    remove_task(queue, luck.choice(("moods", "whole", making.text(luck))))
                elif what < 0.5:
                    remove_backbone(queue, luck.choice(("spare", making.text(luck))), force=luck.random() < 0.5)
                elif what < 0.6:
                    remove_expert(queue, "lora", luck.choice(("moods", making.text(luck))))
                elif what < 0.8:
                    delete_run(queue, luck.choice([*(run.id for run in queue.list()), making.text(luck)]))
                elif bin_.entries():
                    restore(queue, luck.choice(bin_.entries()).id)
            if bin_.entries() and luck.random() < 0.1:
                _damage(luck, bin_.directory / luck.choice(bin_.entries()).id / "entry.json")
                damaged = True
            settle(workspace)
        # A damage that leaves a document which still makes sense restores something else.
        whole = not damaged and all(entry.damage is None for entry in bin_.entries())
        for entry in list(bin_.entries()):  # the newest first, as they were made
            try:
                restore(queue, entry.id)
            except PiTuningError:
                whole = False
        must(not whole or _files(workspace.root) == before, "what was restored is not what was deleted")
    finally:
        workspace.engine.dispose()


def run(place: Place, words: Sequence[str], *, at_home: bool = True) -> tuple[int, str, str]:
    """Runs a command line in this process and holds its answer to what every one keeps to."""
    from pituning import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    said, line = out.getvalue(), err.getvalue()
    shown = " ".join(map(ascii, words))[:300]
    must(code in (0, 1, 2), f"{shown} ended with {code}")
    must("Traceback" not in line + said and "unexpected " not in line, f"{shown} says: {line[-300:]}")
    if code != 0:
        last = [one for one in line.splitlines() if one.startswith("pituning: ")]
        must(len(last) == 1 and 10 < len(last[0]) <= 1_100, f"{shown} says {len(last)} lines: {line[-300:]!r}")
    for character in "\x1b\x07\u202e\ud800":
        must(character not in said + line, f"{shown} prints the character {character!a}")
    return code, said, line


@contextlib.contextmanager
def nobody_works() -> Iterator[None]:
    """Commands start no supervisor and reach no hub."""
    from pituning.runs import supervisor

    kept, supervisor.ensure_supervisor = supervisor.ensure_supervisor, lambda *_, **__: False  # type: ignore[assignment]
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        supervisor.ensure_supervisor = kept


def _commands() -> Iterator[tuple[str, list[Any]]]:
    import typer

    from pituning import cli

    pending = [("", typer.main.get_command(cli.app))]
    while pending:
        path, command = pending.pop()
        inner = getattr(command, "commands", None)
        if path in LONG:
            continue
        if inner is None:
            names = {parameter.name for parameter in command.params}
            if "everything" not in names:
                yield path, list(command.params)
        else:
            pending += [(f"{path} {name}".strip(), one) for name, one in sorted(inner.items())]


def _has_workspace(parameters: Sequence[Any]) -> bool:
    return any(parameter.name == "workspace" for parameter in parameters)


def _words(luck: random.Random, parameter: Any, place: Place) -> list[str]:
    kind, option = parameter.type_descriptor.annotation, parameter.opts[0]
    if getattr(parameter, "is_flag", False):
        return [option] if parameter.name in ("detach", "yes") or luck.random() < 0.7 else []
    if kind is Path or parameter.name in ("file", "directory", "out"):
        given = str(_path(luck, place))
    elif kind in (int, float):
        given = luck.choice(("1", "3", "-1", "0", "1e999", "nan", str(2**63), "x", ""))
    else:
        runs = place.kept.get("runs", [""])
        given = luck.choice((*making.NAMES, *runs, "nli,rte", "shots=4", "a=b=c", making.text(luck), making.text(luck)))
    if not option.startswith("-"):
        return [f"./{given}" if given.startswith("-") else given]
    return [option, given]


def _path(luck: random.Random, place: Place) -> Path:
    """A path below the try's own directory: a file, a directory, nothing, or an odd name."""
    what = luck.randrange(6)
    if what == 0:
        return place.file("given.csv", making.table(luck)[1])
    if what == 1:
        return place.root
    if what == 2:
        return place.root / "none" / "none"
    if what == 3:
        return place.file("given.json", making.written(luck, making.document(luck)))
    name = "".join(each for each in making.text(luck)[:60] if each not in "/\0" and not "\ud800" <= each <= "\udfff")
    return place.root / (name if name.strip(". ") else "out.zip")


def _damage(luck: random.Random, path: Path) -> None:
    if not path.is_file():
        return
    data, what = path.read_bytes(), luck.random()
    if what < 0.3:
        path.write_bytes(making.changed(luck, data))
    elif what < 0.5:
        path.unlink()
    elif what < 0.6:
        path.unlink()
        path.mkdir()
    elif what < 0.7:
        path.write_bytes(b"")
    elif path.suffix == ".json":
        with contextlib.suppress(ValueError):
            path.write_bytes(making.written(luck, making.with_odd(luck, json.loads(data))))
    elif path.suffix == ".db":
        _damage_row(luck, path)
    else:
        path.write_bytes(making.written(luck, making.document(luck)))


def _damage_row(luck: random.Random, path: Path) -> None:
    import sqlite3

    with (
        contextlib.closing(sqlite3.connect(path)) as connection,
        contextlib.suppress(sqlite3.Error, OverflowError, ValueError),
    ):
        column = luck.choice(
            ("spec", "state", "kind", "name", "priority", "created", "started", "attempt", "result_path")
        )
        value = making.value(luck)
        value = value if isinstance(value, int | float | None) else str(value).encode("utf-8", "replace").decode()
        connection.execute(f"UPDATE runs SET {column} = ? WHERE rowid = 1", (value,))
        connection.commit()


def _template(place: Place) -> Path:
    """A copy of a small workspace with something of everything."""
    if "template" not in place.kept:
        place.kept["template"] = _make_template(place.root.parent / "template")
    return Path(shutil.copytree(place.kept["template"], place.root / "damaged"))


def _make_template(root: Path) -> Path:
    from pituning.runs.queue import RunQueue
    from pituning.runs.spec import RunSpec
    from pituning.tasks.adding import AddOptions, plan_task
    from pituning.tasks.files import save_task
    from pituning.workspace.affinities import parse_affinity, save_affinity
    from pituning.workspace.atomic import write_json
    from pituning.workspace.layout import Workspace
    from pituning.workspace.stories import add_story

    workspace = Workspace.open(root)
    rows = "".join(f"visit {i} was {'fine' if i % 2 else 'poor'},{'good' if i % 2 else 'bad'}\n" for i in range(40))
    table = root.parent / "table.csv"
    table.write_text("text,label\n" + rows)
    for name in ("moods", "whole"):
        save_task(plan_task(table, AddOptions(name=name, instruction="good or bad?")).make(), workspace)
    table.unlink()
    shipped = workspace.zoo().all_expert_dirs("lora")["digits"]
    for name in ("moods", "moods-4-shot-0"):
        folder = Path(shutil.copytree(shipped, workspace.zoo().new_expert_dir("lora", name)))
        card = json.loads((folder / "card.json").read_text())
        write_json(folder / "card.json", {**card, "name": name, "task": "moods"})
    save_affinity(workspace, "mine", parse_affinity(b",a,b,c\na,,1,2\nb,3,,4\nc,5,6,\n"))
    add_story(workspace, "Mine")
    write_json(root / "backbones" / "spare" / "config.json", {"model_type": "none"})
    queue = RunQueue(workspace)
    for state in ("succeeded", "cancelled"):
        queue.submit(RunSpec(kind="count", config={"upto": 2}))
        claim = queue.claim("me")
        assert claim is not None
        path = workspace.run_dir(claim.id) / "result.json"
        write_json(path, {"counted": 2})
        queue.finish(claim.claim, state, result_path=f"runs/{claim.id}/result.json" if state == "succeeded" else None)
    workspace.engine.dispose()
    return root


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
        and path.relative_to(root).parts[0] not in ("bin", "studio.db", "studio.db-wal", "studio.db-shm")
    }
