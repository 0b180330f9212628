"""Export of part images for other programs: NumPy files in a folder, or one Parquet file."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dsa_app.console import progress
from dsa_app.errors import ConfigError, StoreError
from dsa_app.folders import put_in_place, tidy
from dsa_app.lock import locked
from dsa_data.charts import CHARTS
from dsa_data.records import Record, write_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.mapped import allocated
from dsa_reid.atomic import SUFFIX, atomic, resolved
from dsa_reid.extras import install_command

ROWS = 256  # images in a row group


def export(store: DsapStore, records: Sequence[Record], out: Path) -> Path:
    """Write the part images of `records`, whole or not at all; return the path.

    Args:
        out: a file that ends in .parquet for `to_parquet`; any other path is a folder for `to_npy`.

    Raises:
        StoreError: if the store lacks one of the records, or is damaged.
        ConfigError: if pyarrow is not installed, or the folder has other files.
    """
    missing = [record.key for record in records if record.key not in store]
    if missing:
        raise StoreError(f"{store.path} lacks {len(missing)} images, first {missing[0]}. Build it again: dsap build.")
    return to_parquet(store, records, out) if out.suffix == ".parquet" else to_npy(store, records, out)


FILES = {
    "texels.npy",
    "valid.npy",
    "charts.npy",
    "chart_shapes.npy",
    "confidence.npy",
    "chart_confidence.npy",
    "records.csv",
}
"""Names of the files in an exported folder."""


def to_npy(store: DsapStore, records: Sequence[Record], out: Path) -> Path:
    """Write a folder: `texels.npy` uint8 (N, 24, S, S, 3), `valid.npy` bool (N, 24, S, S), and `records.csv`.

    Of a store that has chart images also `charts.npy` uint8 (ΣHW), the chart images end to end, row-major, and
    `chart_shapes.npy` int32 (N, 2), their H and W. Of a store that has confidences also `confidence.npy` uint8
    (N, 24, S, S), and `chart_confidence.npy` uint8 (ΣHW), as `charts.npy`. `np.load(..., mmap_mode="r")` maps the
    arrays without loading them. A folder of an earlier export is replaced.
    """
    target = resolved(out)
    part = target.with_name(target.name + SUFFIX)
    with locked(target, f"Another process is writing {out}. Wait for it, or stop it."):
        tidy(target)
        for folder in (target, part):
            names = {path.name.removesuffix(SUFFIX) for path in folder.iterdir()} if folder.is_dir() else set()
            if names - FILES or folder.is_file():
                raise ConfigError(f"{folder} exists and has files of another kind. Name another path: --out.")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            _fill(store, records, part)
        except BaseException as error:
            shutil.rmtree(part)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(out)
            raise
        put_in_place(part, target)
    return out


def _fill(store: DsapStore, records: Sequence[Record], folder: Path) -> None:
    count, S = len(records), store.size
    indices = [store.index(record.key) for record in records]
    texels = allocated(folder / "texels.npy", np.uint8, (count, CHARTS, S, S, 3))
    valid = allocated(folder / "valid.npy", bool, (count, CHARTS, S, S))
    for row, index in enumerate(progress(indices, count, "exporting")):
        texels[row], valid[row] = store.read(index)
    texels.flush()
    valid.flush()
    if store.has_charts:
        shapes = store.chart_shapes[indices]  # (N, 2)
        buffer = io.BytesIO()  # NumPy's own writing to a file loses the number of the system's error
        np.save(buffer, shapes)
        (folder / "chart_shapes.npy").write_bytes(buffer.getbuffer())
        _fill_end_to_end(folder / "charts.npy", shapes, map(store.read_charts, indices))
    if store.has_confidence:
        confidence = allocated(folder / "confidence.npy", np.uint8, (count, CHARTS, S, S))
        for row, index in enumerate(indices):
            confidence[row] = store.read_confidence(index)
        confidence.flush()
        _fill_end_to_end(folder / "chart_confidence.npy", shapes, map(store.read_chart_confidence, indices))
    write_manifest(records, folder / "records.csv")


def _fill_end_to_end(path: Path, shapes: np.ndarray, planes: Iterable[np.ndarray]) -> None:
    """Write planes uint8 (H, W) of these shapes (N, 2) to a .npy file, one behind the other."""
    whole = allocated(path, np.uint8, (int(shapes.prod(axis=1).sum()),))
    start = 0
    for plane in planes:
        whole[start : start + plane.size] = plane.ravel()
        start += plane.size
    whole.flush()


def to_parquet(store: DsapStore, records: Sequence[Record], out: Path) -> Path:
    """Write a Parquet file with one row an image.

    Columns: key, split, pid, camid, size (S), texels (the bytes of uint8 (24, S, S, 3)), valid (the bits of (24, S, S),
    packed most significant first), count (valid texels by chart), and the chart image: charts (the bytes of uint8
    (H, W), row-major), chart_height, chart_width; null for a store without chart images. Of a store that has
    confidences also confidence (the bytes of uint8 (24, S, S)) and chart_confidence (of uint8 (H, W)).
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(f"Parquet needs pyarrow. Install it: {install_command('parquet')}") from None
    schema = pa.schema(
        [
            ("key", pa.string()),
            ("split", pa.string()),
            ("pid", pa.int32()),
            ("camid", pa.int32()),
            ("size", pa.int32()),
            ("texels", pa.binary()),
            ("valid", pa.binary()),
            ("count", pa.list_(pa.int32(), CHARTS)),
            ("charts", pa.binary()),
            ("chart_height", pa.int32()),
            ("chart_width", pa.int32()),
            *([("confidence", pa.binary()), ("chart_confidence", pa.binary())] if store.has_confidence else []),
        ]
    )
    groups = [records[start : start + ROWS] for start in range(0, len(records), ROWS)]
    with atomic(out) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for group in progress(groups, len(records), "exporting", each=0):
            writer.write_table(pa.Table.from_pylist([_row(store, record) for record in group], schema))
    return out


def _row(store: DsapStore, record: Record) -> dict[str, object]:
    index = store.index(record.key)
    texels, valid = store.read(index)
    charts = store.read_charts(index) if store.has_charts else None
    sure: dict[str, object] = {}
    if store.has_confidence:
        sure["confidence"] = store.read_confidence(index).tobytes()
        sure["chart_confidence"] = store.read_chart_confidence(index).tobytes()
    return {
        "key": record.key,
        "split": record.split,
        "pid": record.pid,
        "camid": record.camid,
        "size": store.size,
        "texels": texels.tobytes(),
        "valid": np.packbits(valid).tobytes(),
        "count": valid.sum(axis=(1, 2)).tolist(),
        "charts": None if charts is None else charts.tobytes(),
        "chart_height": None if charts is None else charts.shape[0],
        "chart_width": None if charts is None else charts.shape[1],
        **sure,
    }
