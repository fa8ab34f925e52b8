"""The web: what HTTP serves: the API, the page, event streams; FastAPI, uvicorn and Jinja stop here."""
