"""Papers of a sale: receipts, the confirmation of a deal, the notice to pay, with their proof."""
