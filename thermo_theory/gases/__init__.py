"""Gases: equations of state, from the ideal one to what lies beyond."""
