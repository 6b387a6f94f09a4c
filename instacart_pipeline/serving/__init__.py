"""The HTTP side: predictions and predicted baskets for people and programs, and the page to try them on."""
