"""Transform signals to spectra and back, and process their bands."""
