"""The engines of local runs; each driver is loaded when it connects."""
