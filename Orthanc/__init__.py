"""The image archive: DICOMweb access to the server or to a folder, and the server's own configuration."""
