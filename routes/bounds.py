"""How long or large what people send may be: routes check by these, and the API's description tells them."""

LARGEST_ID = 2**63 - 1
"""The largest that a database can be asked for."""
LARGEST_VERSION = 2**31

NAME_LENGTH, NOTE_LENGTH, USER_LENGTH = 64, 4000, 100
MAXIMUM_MG = 1000.0
UNUSUAL_MG = 40.0
"""Above this the page asks whether it is meant: a day's dose of dexamethasone decides on the response."""
