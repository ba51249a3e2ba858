"""How long or large what people send may be: routes check by these, and the API's description tells them."""

LARGEST_ID = 2**63 - 1
"""The largest that a database can be asked for."""
LARGEST_VERSION = 2**31

CONTROL = r"\x00-\x08\x0a-\x1f\x7f-\x9f"
"""What no address has any use for, and PostgreSQL refuses some of. A tab comes with what is pasted from a table."""

NAME_LENGTH, NOTE_LENGTH, USER_LENGTH = 64, 4000, 100
MAXIMUM_MG = 1000.0
UNUSUAL_MG = 40.0
"""Above this the page asks whether it is meant: a day's dose of dexamethasone decides on the response."""
