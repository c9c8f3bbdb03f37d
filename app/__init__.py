"""The Streamlit front end: reads the workspace, queues runs; never imports torch."""
