"""The HTTP interface, one small blueprint per resource."""
