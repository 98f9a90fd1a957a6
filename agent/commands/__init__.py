"""The field's commands: one file each."""
