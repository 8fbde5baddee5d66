"""The commands, one module each, which is loaded when the command is called."""
