"""Measurements. Figures are ratios to a peer in the same run; see ``python -m benches compare --help``.

``model`` has the types. ``operations.suite(place)`` prepares what is measured, ``runner`` measures it,
``report`` says what came out, ``store`` keeps it, ``page`` draws it, ``gate`` holds the line.
"""
