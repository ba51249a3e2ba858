"""Starting and ending what a site runs: Orthanc, the API, the worker; and the demo."""
