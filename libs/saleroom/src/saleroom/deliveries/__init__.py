"""Deliveries: quota after money, both or neither; a wrong delivery is reversed."""
