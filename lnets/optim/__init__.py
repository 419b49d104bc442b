"""Optimizers that torch does not have, and what lets any work on replicas."""

from lnets.optim.aggmo import AggMo
from lnets.optim.rows import clip_row_norms_, keep_rows_, row_groups

__all__ = ["AggMo", "clip_row_norms_", "keep_rows_", "row_groups"]
