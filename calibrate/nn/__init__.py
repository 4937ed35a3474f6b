"""Networks and losses: floor 1, no training here."""
