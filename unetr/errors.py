"""What goes wrong with a model."""


class ModelError(Exception):
    """A model that cannot be used; the message is one plain sentence for the person who set MODEL_PATH."""
