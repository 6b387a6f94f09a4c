"""The retail system over HTTP: transactions in, invoices and sales out."""
