"""The decorators of the programming model with decorators."""
