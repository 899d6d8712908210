"""What indexes make of a record: its fields, and keys whose bytes sort as the values do. Pure.

Nodes keep indexes with it; an import finds with it, before anything is written, which records would share a key.
"""
