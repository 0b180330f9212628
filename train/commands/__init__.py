"""The commands of `dsa-train`, one file each."""
