"""What the laboratory costs, measured against the straightforward way."""
