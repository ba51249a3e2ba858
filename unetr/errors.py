"""What goes wrong with a model."""


class ModelError(Exception):
    """A model that cannot be used; the message is one plain sentence for the person who set MODEL_PATH."""


def told(error: BaseException) -> str:
    """The one line of an error that says what is wrong, without its full stop: libraries add pages of their own.

    That is the first, but for those that only announce it: TorchScript's and OpenVINO's say it last.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    announces = lines[0].endswith(":") or "TorchScript interpreter" in lines[0]
    return lines[-1 if announces else 0].rstrip(".")[:200]
