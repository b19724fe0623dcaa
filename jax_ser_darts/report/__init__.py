"""The results of a grid as tables, figures and a page, all made from one summary."""
