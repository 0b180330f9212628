"""`dsap fuse`: all images of a person on one surface, and the maps in which limbs have the wrong side.

In the order of the work: `exchange`, `layout` and `surface` are the arithmetic, `judge` joins their evidence, `person`
does one person, `stage` all of them (docs/design/fuse.md).
"""
