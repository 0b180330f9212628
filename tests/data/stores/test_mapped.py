"""Mapped arrays: their disk space is allocated first, so that a full disk is an error, not a killed process."""

import errno
import os

import numpy as np
import pytest

from dsa_data.stores.mapped import allocated


def test_what_is_written_is_read(tmp_path):
    rows = allocated(tmp_path / "a.npy", np.float16, (3, 5))
    rows[:] = np.arange(15).reshape(3, 5)
    rows.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.arange(15, dtype=np.float16).reshape(3, 5))


def test_disk_space_is_allocated_before_anything_is_written(tmp_path):
    allocated(tmp_path / "a.npy", np.uint8, (1 << 20,))
    assert 512 * (tmp_path / "a.npy").stat().st_blocks >= 1 << 20


def test_a_full_disk_is_reported_with_the_files_name(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left.*a\.npy"):
        allocated(tmp_path / "a.npy", np.uint8, (100,))
