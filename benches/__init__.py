"""Measurements. Figures are ratios to a peer in the same run; see ``python -m benches.lifecycle --help``."""
