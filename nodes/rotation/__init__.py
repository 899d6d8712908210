"""When a node answers clients, and when it must not: the serving gate and what follows from the rotation lease."""
