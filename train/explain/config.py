"""The choices of `dsa-train explain`; importing them does not import torch."""

from __future__ import annotations

from typing import Literal

Method = Literal["occlusion", "shares"]
# Queries where no KEY is given: on a page, on a page of means, and in the table by region.
PAGE_QUERIES, MEAN_QUERIES, TABLE_QUERIES = 3, 50, 200
