"""Deliberate bugs, each a patch in this folder, and the command that plants each: the suite must see all of them."""
