"""A node's part in who belongs to the cluster: joining, the addresses it was told, what the leader checks first."""
