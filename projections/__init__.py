"""What follows: pure folds over the journal's events."""
