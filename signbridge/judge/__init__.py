"""A vision model asked, on a server of the user's choice, which patches say what is there."""
