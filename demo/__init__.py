"""`make demo`: the main job, end to end, on real input, with the proof that it held."""
