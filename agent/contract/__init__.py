"""What device and cloud agree on. Pure: values in, values out."""
