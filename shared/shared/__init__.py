"""What two services need and no business noun owns."""

__version__ = "0.1.0"
