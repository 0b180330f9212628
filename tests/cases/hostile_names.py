"""Names of files that HTML would take for tags and attributes."""

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
