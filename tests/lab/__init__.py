"""The fault lab: the house as real processes, under load, hurt by a schedule, and then judged."""
