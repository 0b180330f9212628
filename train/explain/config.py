"""The choices of `dsa-train explain`; importing them does not import torch."""

from __future__ import annotations

from typing import Literal

Method = Literal["occlusion", "shares"]
PAGE_QUERIES, TABLE_QUERIES = 3, 200  # queries on a page, and in the table by region, where no KEY is given
