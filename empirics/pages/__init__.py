"""The page: verdicts in words, figures, and how the runs were made, in one file."""

from empirics.pages.jsonform import schema
from empirics.pages.page import FORMATS, report

__all__ = ["FORMATS", "report", "schema"]
