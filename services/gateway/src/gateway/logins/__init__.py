"""The development issuer's counter; production has none."""
