"""A whole cluster on one machine: its directory, its processes, and who watches over them."""
