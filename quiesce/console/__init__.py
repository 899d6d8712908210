"""The shell that speaks the words of OrientDB's console."""
