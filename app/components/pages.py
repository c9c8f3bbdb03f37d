"""The pages of the Studio and how to get to them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PageEntry:
    """One page: its script, what the navigation shows, its address, the heading where that is another one, and what
    stands behind the heading's question mark."""

    file: str
    title: str
    icon: str
    url_path: str
    help: str
    heading: str | None = None
    about: str | None = None

    @property
    def path(self) -> str:
        """What `st.page_link` and `st.switch_page` take."""
        return f"app_pages/{self.file}"


HOME = PageEntry(
    file="home.py",
    title="Home",
    icon=":material/home:",
    url_path="",
    help="What this workspace holds, its task graph at a glance, and the last runs.",
    heading="Which of your tasks help each other?",
)
GRAPH = PageEntry(
    file="task_graph.py",
    title="Graph",
    icon=":material/hub:",
    url_path="graph",
    help="Which tasks are alike, across modalities. Click a task for its examples and its nearest neighbours.",
    heading="Task graph",
    about="Each point is a task; a line joins tasks whose embeddings are alike. A task embedding is the Fisher "
    "information of a small expert: what the foundation model had to attend to, to solve the task.",
)
MAP = PageEntry(
    file="task_map.py",
    title="Map",
    icon=":material/scatter_plot:",
    url_path="map",
    help="Where the tasks lie: their embeddings in two dimensions by UMAP, MDS and PCA, and how far to trust each.",
)
SIMILARITY = PageEntry(
    file="similarity.py",
    title="Similarity",
    icon=":material/grid_on:",
    url_path="similarity",
    help="How alike every two tasks are, and how far two ways of measuring it agree.",
)
TRANSFER = PageEntry(
    file="transfer.py",
    title="Transfer",
    icon=":material/compare_arrows:",
    url_path="transfer",
    help="Whose experts helped whom, as measured, and which similarity predicted it.",
)
EXPERTS = PageEntry(
    file="experts.py",
    title="Experts",
    icon=":material/inventory_2:",
    url_path="experts",
    help="Every expert with where it comes from: try it, download it, or import one of your own.",
)
NEW_RUN = PageEntry(
    file="new_run.py",
    title="New run",
    icon=":material/add_circle:",
    url_path="new-run",
    help="Choose a task or upload a file of your own, choose donors and baselines, and start a low-shot run.",
)
RUNS = PageEntry(
    file="runs.py",
    title="Runs",
    icon=":material/monitoring:",
    url_path="runs",
    help="The queue: progress, curves and weights as they form, and results against the baselines.",
)
LABEL = PageEntry(
    file="label.py",
    title="Label",
    icon=":material/label:",
    url_path="label",
    help="Upload rows without labels; an expert labels them and says how sure it is. Sort by the least sure.",
)
PRESENT = PageEntry(
    file="present.py",
    title="Present",
    icon=":material/co_present:",
    url_path="present",
    help="Views with captions, one after the other: to show on a screen, or to send as one file that works offline.",
)
NAVIGATION = (HOME, GRAPH, NEW_RUN, RUNS, EXPERTS, LABEL, MAP, SIMILARITY, TRANSFER, PRESENT)
"""A narrow window shows the first ones and keeps the others in a menu."""
