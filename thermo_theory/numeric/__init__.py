"""Numbers that stay right at the extremes: the von Mises-Fisher law by series and recurrence, and samples of it."""
