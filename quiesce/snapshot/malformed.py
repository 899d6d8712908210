"""What the codecs raise; whoever knows the object's name turns it into DamagedObject."""


class MalformedObject(ValueError):
    """Bytes that are not what their format says; the message says what and where."""
