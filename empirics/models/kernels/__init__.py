"""Compiled gradients (numba) for CPUs, each beside the plain torch program that its first line names."""
