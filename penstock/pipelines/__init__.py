"""What every pipeline says of itself: its runs, and what failed for good."""
