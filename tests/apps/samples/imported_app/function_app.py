from company.application import app  # noqa: F401 (its functions are those of the app)
