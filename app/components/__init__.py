"""Widgets and readers that pages share."""
