"""Pledges: quota that secures a loan, held until its creditor lets it go (art. 19)."""
