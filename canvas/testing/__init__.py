"""For tests: the suite that every driver passes."""
