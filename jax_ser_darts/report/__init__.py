"""The results of a comparison as tables, figures and a page."""
