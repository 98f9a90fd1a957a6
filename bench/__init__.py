"""One file per goal; each prints ratios and the command that made them."""
