"""Few of the edges, chosen before, during or after the training."""

from __future__ import annotations
