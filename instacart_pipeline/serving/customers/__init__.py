"""The customer mart over HTTP: sums of it and single customers (mart.py), with the page that shows them."""
