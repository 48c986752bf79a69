"""The ``kata-hybrid`` command: runc's verbs and flags over ``kata_hybrid.runtime``."""
