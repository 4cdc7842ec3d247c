"""Servers on loopback that behave as one venue each does: order, windows, cursors, errors.

``server`` is what they share, ``truth`` what they tell, ``asking`` how a test fetches from one.
A venue's own module writes the truth in that venue's wire format, without the decoders.
"""
