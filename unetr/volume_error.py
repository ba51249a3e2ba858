"""What is wrong with a volume that a model is trained or measured on; a server never meets it."""


class VolumeError(Exception):
    """A file of an image or a mask that cannot be used; the message is one plain sentence that names it."""
