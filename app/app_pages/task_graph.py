"""Which tasks are alike, across modalities, and how sure is that?"""

from __future__ import annotations

from app.components import affinity_view, backbone, context, deleted, graph_controls, graph_view, zoo_panel
from app.components.guard import guarded, plain

with guarded("The last deletion"):
    deleted.undo()
with guarded("The task graph"):
    outside, available = None, context.available()
    with graph_view.above():
        if available or affinity_view.there_are():
            bar = graph_controls.bar()
            with bar.first:
                outside = affinity_view.choose()
            with bar.last:
                affinity_view.upload()
                if outside is not None:
                    affinity_view.delete(outside)
            if outside is not None:
                bar.visible.caption(f"Of the table **{plain(outside)}**, imported", width="content",
                                    help=affinity_view.ABOUT)  # fmt: skip
                table = affinity_view.load(outside)
                view = affinity_view.controls(outside, table, bar)
                known = {info.name: info.title for info in affinity_view.infos(table.names)}
            elif available:
                view, whole = graph_controls.zoo(available, bar)
                known = graph_view.titles()
        else:
            affinity_view.upload()
    if outside is None and not available:
        backbone.no_graph()
    else:
        chart, panel = graph_view.canvas()
        with panel:
            task, other = graph_view.finder(known)
            with guarded("This task"):
                if outside is None:
                    zoo_panel.show(view, whole, available[whole.kind], task, other)
                else:
                    affinity_view.panel(table, task, other)
        with chart:
            graph_view.draw(view, task, other)
        if outside is None:
            with panel, guarded("This task"):
                zoo_panel.more(whole, task, other)
