"""The two-stream network (figure 3): main stream, guide stream, fusion, pretrained weights."""
