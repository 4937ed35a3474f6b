"""The user's files: ROOT, HDF5, Parquet, CSV and other text, NPZ, read and copied in chunks."""

from calibrate.tables.columns import Chunk, Frame, Jagged, NewColumns, Table, Words
from calibrate.tables.opening import open_table

__all__ = ["Chunk", "Frame", "Jagged", "NewColumns", "Table", "Words", "open_table"]
