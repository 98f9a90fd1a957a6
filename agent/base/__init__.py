"""Small things that device and cloud both stand on: clock, waits, files, TLS, systemd."""
