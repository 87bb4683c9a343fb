"""WSGI server, its processes, and the gunicorn worker."""
