"""The report of a series: one page for people."""
