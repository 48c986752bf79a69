"""What the plan needs to know about the cgroups that its process will be in."""

from __future__ import annotations
