"""Kills at every named point of a backup, and at random: real processes, real disks, and a judge."""
