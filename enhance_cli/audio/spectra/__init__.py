"""Transform signals to spectra and back, and work on their bands."""
