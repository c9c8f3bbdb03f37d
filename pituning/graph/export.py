"""The task graph as a file: GraphML, GEXF, JSON (node-link) or CSV (edges); a matrix as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import networkx as nx
import numpy as np

from pituning.errors import BadInput
from pituning.workspace.atomic import write_bytes

FORMATS = ("graphml", "gexf", "json", "csv")
EDGE_COLUMNS = ("similarity", "standardised", "rank", "mutual", "inter_modal")
ARROW_COLUMNS = ("gain", "rank", "inter_modal")

# Characters that XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def export_graph(graph: nx.Graph, path: Path) -> None:
    """Writes a graph atomically, in the format that the path's suffix names.

    Raises:
        BadInput: when the suffix names no format of `FORMATS`.
        ArtefactError: when the disk is full or the place not writable.
    """
    write_bytes(path, export_bytes(graph, path.suffix.removeprefix(".").lower()))


def export_bytes(graph: nx.Graph, file_format: str) -> bytes:
    """A graph of `task_graph` or `directed_graph` as the content of a file.

    Args:
        graph: what to write; families are joined by ``;``.
        file_format: one of `FORMATS`.
    """
    if file_format == "graphml":
        return _xml(nx.generate_graphml(_plain(graph), named_key_ids=True, prettyprint=True))
    if file_format == "gexf":
        return _xml(nx.generate_gexf(_with_places(_plain(graph)), prettyprint=True))
    if file_format == "json":
        document = nx.node_link_data(_plain(graph), edges="edges")
        return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if file_format == "csv":
        return _csv(graph)
    raise BadInput(
        f"graph format {file_format!r} is not known; name a file that ends in {', '.join('.' + f for f in FORMATS)}",
        field="file",
    )


def matrix_csv(names: Sequence[str], values: np.ndarray) -> bytes:
    """Values of all pairs (N, N) as a table with a row and a column for each task; NaN becomes an empty cell."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["task", *names])
    for name, row in zip(names, values, strict=True):
        writer.writerow([name, *("" if np.isnan(value) else f"{value:.6g}" for value in row)])
    return stream.getvalue().encode()


def pairs_csv(names: Sequence[str], columns: Mapping[str, np.ndarray]) -> bytes:
    """Several values of each ordered pair of different tasks, one pair a row; ``columns`` are (N, N) by title."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["task", "other", *columns])
    for i, name in enumerate(names):
        for j, other in enumerate(names):
            if i != j:
                writer.writerow([name, other, *(f"{values[i, j]:.6g}" for values in columns.values())])
    return stream.getvalue().encode()


def _plain(graph: nx.Graph) -> nx.Graph:
    """A copy that every format can hold: families as text, no control characters."""
    plain = nx.DiGraph() if graph.is_directed() else nx.Graph()
    for node, data in graph.nodes(data=True):
        text = {key: _NOT_XML.sub("", value) for key, value in data.items() if isinstance(value, str)}
        plain.add_node(node, **{**data, **text, "families": ";".join(data["families"])})
    plain.add_edges_from(graph.edges(data=True))
    return plain


def _with_places(graph: nx.Graph) -> nx.Graph:
    """Gephi reads places from the ``viz`` extension, with y up, and draws by ``weight``."""
    for _, data in graph.nodes(data=True):
        data["viz"] = {"position": {"x": data["x"], "y": -data["y"], "z": 0.0}}
    for _, _, data in graph.edges(data=True):
        data["weight"] = data["gain"] if graph.is_directed() else data["similarity"]
    return graph


def _xml(lines: Iterable[str]) -> bytes:
    return ("<?xml version='1.0' encoding='utf-8'?>\n" + "\n".join(lines) + "\n").encode()


def _csv(graph: nx.Graph) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    columns = ARROW_COLUMNS if graph.is_directed() else EDGE_COLUMNS
    writer.writerow(["source", "target", *columns])
    for source, target, data in graph.edges(data=True):
        writer.writerow([source, target, *(_cell(data.get(column, "")) for column in columns)])
    return stream.getvalue().encode()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
