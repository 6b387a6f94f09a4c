"""The HTTP side: what each system of the platform answers and shows, put together as one web application (api.py)."""
