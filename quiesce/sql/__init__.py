"""OrientDB's SQL: its text, its syntax tree, its plans, and what they do through a client."""
