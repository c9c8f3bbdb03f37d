"""Page scripts, one per question that a user has. Streamlit runs them as files."""
