"""The commands of `dsa-train`, one file each.

A command parses, builds the configuration, calls one function, and prints what was made. It imports torch, and whatever
else takes long, inside its function and after the settings were read: `--help` and refusals answer at once.
"""
