"""What is asked along a path: state variables, slopes, and how far a state lags behind a schedule."""
