"""From lesions to the DICOM objects written back into the study: SEG, RTSTRUCT and SR."""
